-- What signs a key's requests, as PEM, and whether all of them must be signed.
ALTER TABLE api_keys ADD COLUMN public_key TEXT;
ALTER TABLE api_keys ADD COLUMN require_signature INTEGER NOT NULL DEFAULT 0;

-- The nonces of signed requests, by the digest of key id and nonce, until no request may bear them any more: each is
-- good once across restarts too. Times are whole seconds, as a signature's are.
CREATE TABLE used_nonces (
  digest BLOB PRIMARY KEY CHECK (length(digest) = 32),
  key_id TEXT NOT NULL,
  ends_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX used_nonces_by_end ON used_nonces (ends_at);
