-- Accounts, what happened to their balances, and holds that have been open for longer than a moment.
-- Amounts are nano-dollars, times are microseconds of Unix time.
CREATE TABLE accounts (
  id INTEGER PRIMARY KEY,
  public_id TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL,
  created_at INTEGER NOT NULL
) STRICT;

-- An account's balance is its last entry's: written once, in one place. Ids grow over all accounts.
CREATE TABLE entries (
  id INTEGER NOT NULL,
  account_id INTEGER NOT NULL REFERENCES accounts (id),
  -- Written out: IN would build a table of its four values for every row.
  type TEXT NOT NULL CHECK (type = 'charge' OR type = 'grant' OR type = 'topup' OR type = 'adjustment'),
  amount_nanousd INTEGER NOT NULL,
  balance_nanousd INTEGER NOT NULL CHECK (balance_nanousd >= 0),
  job_id TEXT,
  model TEXT,
  basis TEXT,
  prompt_tokens INTEGER NOT NULL DEFAULT 0,
  completion_tokens INTEGER NOT NULL DEFAULT 0,
  node_id TEXT,
  note TEXT,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (account_id, id)
) STRICT, WITHOUT ROWID;

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
