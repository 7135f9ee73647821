"""An exported candidate applied to files of any number of texts, in shards: what is done is kept, whatever ends it."""
