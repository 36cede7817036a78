-- Which account a wallet logs in to. An address is unique over all chains: no text is of two kinds.
CREATE TABLE wallets (
  address TEXT PRIMARY KEY,
  chain TEXT NOT NULL CHECK (chain = 'eip155' OR chain = 'solana'),
  account_id INTEGER NOT NULL REFERENCES accounts (id),
  created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
