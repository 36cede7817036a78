-- Double entry: an entry says what it moved on every side, and the sides sum to zero. The account's own is
-- amount_nanousd; until now nobody but the network stood on the other.
-- In the order of their ids, to whose end a row is added fastest; each names the one before it of its account, so that an
-- account's history needs no index of its own (docs/decisions/0016-entries-name-the-one-before.md).
CREATE TABLE double_entries (
  id INTEGER PRIMARY KEY,
  previous_id INTEGER, -- NULL: the account's first
  account_id INTEGER NOT NULL REFERENCES accounts (id),
  type TEXT NOT NULL CHECK (type = 'charge' OR type = 'grant' OR type = 'topup' OR type = 'adjustment'),
  amount_nanousd INTEGER NOT NULL,
  balance_nanousd INTEGER NOT NULL CHECK (balance_nanousd >= 0),
  owners_nanousd INTEGER NOT NULL, -- of the nodes that served; `earnings` says whose it is
  network_nanousd INTEGER NOT NULL,
  outside_nanousd INTEGER NOT NULL, -- of a top-up: less than zero, since it came from there
  job_id TEXT,
  model TEXT,
  basis TEXT,
  prompt_tokens INTEGER NOT NULL DEFAULT 0,
  completion_tokens INTEGER NOT NULL DEFAULT 0,
  node_id TEXT,
  note TEXT,
  created_at INTEGER NOT NULL,
  CHECK (amount_nanousd + owners_nanousd + network_nanousd + outside_nanousd = 0)
) STRICT;

INSERT INTO double_entries
  SELECT id, lag(id) OVER (PARTITION BY account_id ORDER BY id), account_id, type, amount_nanousd, balance_nanousd, 0,
         CASE WHEN type = 'topup' THEN 0 ELSE -amount_nanousd END,
         CASE WHEN type = 'topup' THEN -amount_nanousd ELSE 0 END,
         job_id, model, basis, prompt_tokens, completion_tokens, node_id, note, created_at
  FROM entries;
DROP TABLE entries;
ALTER TABLE double_entries RENAME TO entries;
CREATE UNIQUE INDEX entries_by_job ON entries (job_id) WHERE job_id IS NOT NULL;

-- What the owner of a node earned from an entry. What has been earned so far is the last row's total: written once, in
-- one place, as balances are. The seal is a sum over the other columns but the total, which follows from them.
CREATE TABLE earnings (
  owner_id INTEGER NOT NULL REFERENCES accounts (id),
  node_id TEXT NOT NULL,
  entry_id INTEGER NOT NULL,
  amount_nanousd INTEGER NOT NULL CHECK (amount_nanousd > 0),
  total_nanousd INTEGER NOT NULL,
  prompt_tokens INTEGER NOT NULL,
  completion_tokens INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  seal INTEGER NOT NULL,
  PRIMARY KEY (owner_id, node_id, entry_id)
) STRICT, WITHOUT ROWID;

-- Below which balance an account is told that its credits are low. NULL: as configured; 0: never.
ALTER TABLE accounts ADD COLUMN low_threshold_nanousd INTEGER CHECK (low_threshold_nanousd >= 0);

-- Where an account's chain of entries ends, as of the entry that the mark names.
ALTER TABLE accounts ADD COLUMN last_entry_id INTEGER;
CREATE TABLE ledger_mark (entry_id INTEGER NOT NULL) STRICT;
INSERT INTO ledger_mark VALUES (0);
