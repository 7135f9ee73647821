"""The engine's process: ``python -m bench.backends.vllm SOCKET SLOT…``, started by the backend alone."""

import sys

from bench.backends.vllm.engine import main

if __name__ == "__main__":
    main(int(sys.argv[1]), [int(each) for each in sys.argv[2:]])
