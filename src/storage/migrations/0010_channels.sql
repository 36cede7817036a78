-- What was posted to channels. created_at: microseconds of Unix time, whole milliseconds and no two alike, so that a bound
-- in a query leaves nothing out.
CREATE TABLE channel_messages (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  channel TEXT NOT NULL,
  account_id INTEGER NOT NULL REFERENCES accounts (id),
  author TEXT NOT NULL,
  author_name TEXT,
  avatar TEXT,
  content TEXT NOT NULL,
  created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX channel_messages_by_time ON channel_messages (channel, created_at);
CREATE INDEX channel_messages_by_age ON channel_messages (created_at);
CREATE INDEX channel_messages_by_id ON channel_messages (channel, id);
CREATE INDEX wallets_by_account ON wallets (account_id);
