-- Accounts, what happened to their balances, and holds that have been open for longer than a moment.
-- Amounts are nano-dollars, times are microseconds of Unix time.
CREATE TABLE accounts (
  id INTEGER PRIMARY KEY,
  public_id TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL,
  balance_nanousd INTEGER NOT NULL DEFAULT 0 CHECK (balance_nanousd >= 0),
  created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE entries (
  id INTEGER PRIMARY KEY,
  account_id INTEGER NOT NULL REFERENCES accounts (id),
  type TEXT NOT NULL CHECK (type IN ('topup', 'grant', 'charge', 'adjustment')),
  amount_nanousd INTEGER NOT NULL,
  balance_nanousd INTEGER NOT NULL CHECK (balance_nanousd >= 0),
  job_id TEXT,
  model TEXT,
  basis TEXT,
  prompt_tokens INTEGER NOT NULL DEFAULT 0,
  completion_tokens INTEGER NOT NULL DEFAULT 0,
  node_id TEXT,
  note TEXT,
  created_at INTEGER NOT NULL
) STRICT;

CREATE INDEX entries_by_account ON entries (account_id, id);
-- A job is charged once, whatever goes wrong above.
CREATE UNIQUE INDEX entries_by_job ON entries (job_id) WHERE job_id IS NOT NULL;

CREATE TABLE holds (
  id INTEGER PRIMARY KEY,
  account_id INTEGER NOT NULL REFERENCES accounts (id),
  amount_nanousd INTEGER NOT NULL CHECK (amount_nanousd >= 0),
  job_id TEXT NOT NULL,
  model TEXT NOT NULL,
  created_at INTEGER NOT NULL
) STRICT;
