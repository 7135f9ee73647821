"""Where hidden states are computed: one protocol, one module a backend, imported only when used."""
