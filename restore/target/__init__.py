"""Where proven data goes: RocksDB, or nowhere."""
