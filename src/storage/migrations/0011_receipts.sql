-- Each charge has a receipt (docs/receipts.md): what it says beside its entry, its place in the log, and its hash, which
-- is that of its leaf in the log's Merkle tree and stands in the next receipt. Charges before this migration have none.
ALTER TABLE entries ADD COLUMN receipt_index INTEGER;
ALTER TABLE entries ADD COLUMN receipt BLOB;
ALTER TABLE entries ADD COLUMN receipt_hash BLOB;

-- The roots of whole tiles, each of 256 neighbours of the level below; below level 1 are the receipts. With them a root or
-- a proof reads some hundreds of rows, however many receipts there are.
CREATE TABLE receipt_tiles (
  level INTEGER NOT NULL,
  position INTEGER NOT NULL,
  root BLOB NOT NULL CHECK (length(root) = 32),
  last_entry_id INTEGER NOT NULL, -- of its last receipt
  PRIMARY KEY (level, position)
) STRICT, WITHOUT ROWID;

-- No entry up to this one has a receipt.
CREATE TABLE receipt_log (began_after INTEGER NOT NULL) STRICT;
INSERT INTO receipt_log SELECT coalesce(max(id), 0) FROM entries;

-- Public halves of what receipts and the log's roots are signed by. The current one has no end.
CREATE TABLE receipt_keys (
  id TEXT PRIMARY KEY,
  public_key BLOB NOT NULL CHECK (length(public_key) = 32),
  starts_at INTEGER NOT NULL, -- whole milliseconds, in microseconds of Unix time
  ends_at INTEGER
) STRICT;

-- Jobs that took a hold and ended without a charge, for a while.
CREATE TABLE unpaid_jobs (
  id INTEGER PRIMARY KEY,
  job_id TEXT NOT NULL UNIQUE,
  account_id INTEGER NOT NULL REFERENCES accounts (id),
  model TEXT NOT NULL,
  held_nanousd INTEGER NOT NULL,
  code TEXT, -- the error's; NULL: the client left before it got anything
  created_at INTEGER NOT NULL,
  ended_at INTEGER NOT NULL
) STRICT;
CREATE INDEX unpaid_jobs_by_account ON unpaid_jobs (account_id, id);
CREATE INDEX unpaid_jobs_by_end ON unpaid_jobs (ended_at);
