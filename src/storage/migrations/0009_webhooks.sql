-- Where accounts want to be told what, and what they are told. Secrets are sealed; times are microseconds of Unix time.
CREATE TABLE webhook_endpoints (
  id INTEGER PRIMARY KEY,
  public_id TEXT NOT NULL UNIQUE,
  account_id INTEGER NOT NULL REFERENCES accounts (id),
  url TEXT NOT NULL,
  events INTEGER NOT NULL, -- a set: bit n is the n-th of events::Type
  disabled TEXT, -- why it is told nothing; NULL: it is told
  secret BLOB NOT NULL,
  old_secret BLOB, -- signs beside it until old_secret_ends_at
  old_secret_ends_at INTEGER,
  created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX webhook_endpoints_by_account ON webhook_endpoints (account_id);

-- The outbox: a row an event and endpoint, written in the transaction of what the event tells, and kept for a while after
-- its end. An endpoint gets its rows one after the other, in the order of their ids.
CREATE TABLE webhook_deliveries (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  endpoint_id INTEGER NOT NULL,
  event_id TEXT NOT NULL, -- webhook-id
  type TEXT NOT NULL,
  body TEXT NOT NULL,
  state TEXT NOT NULL DEFAULT 'pending' CHECK (state = 'pending' OR state = 'delivered' OR state = 'dead'),
  attempts INTEGER NOT NULL DEFAULT 0,
  next_attempt_at INTEGER NOT NULL,
  status INTEGER, -- of the last answer
  fault TEXT, -- why the last attempt failed
  created_at INTEGER NOT NULL,
  closed_at INTEGER
) STRICT;
CREATE INDEX webhook_deliveries_by_endpoint ON webhook_deliveries (endpoint_id, id);
CREATE INDEX webhook_deliveries_pending ON webhook_deliveries (endpoint_id, id) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_closed ON webhook_deliveries (closed_at) WHERE closed_at IS NOT NULL;
