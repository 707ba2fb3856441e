// note_keys: the keys that sign: the event log's checkpoints, and the witness's cosignatures.
#pragma once

// Make DIR/log.key and DIR/witness.key (mode 0600, secret) and log.pub and witness.pub (public, for auditors), where
// they do not exist yet. The log is called LOG_ORIGIN, the witness WITNESS_NAME, else by names with random endings;
// these names stand in every checkpoint for ever. Ends the process with a sentence when that cannot be done.
void note_keys_make(const char *folder);
