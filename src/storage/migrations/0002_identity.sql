-- API keys: the digest and what may be shown, never the key.
CREATE TABLE api_keys (
  id INTEGER PRIMARY KEY,
  public_id TEXT NOT NULL UNIQUE,
  account_id INTEGER NOT NULL REFERENCES accounts (id),
  digest BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
  display TEXT NOT NULL,
  dialect TEXT NOT NULL,
  tier TEXT NOT NULL,
  scopes INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER,
  revoked_at INTEGER
) STRICT;
