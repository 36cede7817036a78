-- Queued jobs: what was asked, how far it has come, and the answer until it expires. Amounts are nano-dollars, times are
-- microseconds of Unix time. The long columns are the last ones: who counts jobs does not read past them.
CREATE TABLE queue_jobs (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  public_id TEXT NOT NULL UNIQUE,
  account_id INTEGER NOT NULL REFERENCES accounts (id),
  state TEXT NOT NULL DEFAULT 'queued'
    CHECK (state = 'queued' OR state = 'processing' OR state = 'complete' OR state = 'dead' OR state = 'cancelled'),
  tries INTEGER NOT NULL DEFAULT 0, -- that failed
  next_try_at INTEGER NOT NULL,
  -- Set aside from the account's balance until the job is over: balances themselves never contain it.
  held_nanousd INTEGER NOT NULL CHECK (held_nanousd >= 0),
  request_bytes INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  dialect TEXT NOT NULL,
  tier TEXT NOT NULL, -- of the key that asked
  pool TEXT NOT NULL,
  kind INTEGER NOT NULL,
  model TEXT NOT NULL,
  -- The most tokens that it was held for, and the price.
  most_prompt_tokens INTEGER NOT NULL,
  most_completion_tokens INTEGER NOT NULL,
  prompt_per_million_nanousd INTEGER NOT NULL,
  completion_per_million_nanousd INTEGER NOT NULL,
  per_request_nanousd INTEGER NOT NULL,
  included_output_tokens INTEGER NOT NULL,
  per_thousand_beyond_nanousd INTEGER NOT NULL,
  idempotency_key TEXT,
  request_digest BLOB,
  fault TEXT, -- of the last try that failed
  fault_message TEXT,
  fault_param TEXT,
  node_id TEXT,
  request BLOB NOT NULL, -- empty once the job can run no more
  result BLOB -- written before the charge; the answer of a job that is complete
) STRICT;

CREATE INDEX queue_jobs_due ON queue_jobs (account_id, next_try_at) WHERE state = 'queued';
CREATE INDEX queue_jobs_waiting ON queue_jobs (id) WHERE state = 'queued';
CREATE INDEX queue_jobs_processing ON queue_jobs (id) WHERE state = 'processing';
CREATE INDEX queue_jobs_dead ON queue_jobs (updated_at) WHERE state = 'dead';
CREATE INDEX queue_jobs_done ON queue_jobs (updated_at) WHERE state = 'complete' OR state = 'cancelled';
CREATE INDEX queue_jobs_by_account ON queue_jobs (account_id, id);
CREATE INDEX queue_jobs_given_up ON queue_jobs (account_id, updated_at, id) WHERE state = 'dead' OR state = 'cancelled';
CREATE UNIQUE INDEX queue_jobs_by_key ON queue_jobs (account_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
