-- Top-ups by x402: written before they are settled. One row an authorization (EIP-3009), whatever becomes of it.
-- A payment is credited by the entry that has its id as job_id, which is unique: `state` follows that.
CREATE TABLE payments (
  id TEXT PRIMARY KEY,
  account_id INTEGER NOT NULL REFERENCES accounts (id),
  network TEXT NOT NULL, -- CAIP-2
  asset TEXT NOT NULL,
  payer TEXT NOT NULL,
  nonce TEXT NOT NULL,
  pay_to TEXT NOT NULL,
  units INTEGER NOT NULL CHECK (units > 0), -- millionths of a dollar
  valid_before INTEGER NOT NULL, -- seconds of Unix time, as the authorization has it
  request TEXT NOT NULL, -- what the facilitator is asked with
  state TEXT NOT NULL CHECK (state = 'pending' OR state = 'credited' OR state = 'refused'),
  reason TEXT,
  tx TEXT,
  created_at INTEGER NOT NULL,
  closed_at INTEGER,
  UNIQUE (network, asset, payer, nonce)
) STRICT, WITHOUT ROWID;

CREATE INDEX payments_pending ON payments (created_at) WHERE state = 'pending';
