// keys: what the files of tildel-keys share. Every fault ends the process with a sentence.
#pragma once

#include <limits.h>
#include <stdbool.h>

#define KEY_TEXT 41  // 40 characters of Z85 and the end

// FOLDER/NAME.suffix, such as "intake.secret.zpl".
void path_make(const char *folder, const char *name, const char *suffix, char ret[PATH_MAX]);

// Make a key pair and a file that keeps it, mode 0600, durable; it must not exist yet.
void secret_make(const char *path, char public_key[KEY_TEXT]);

// The public half of such a file.
void public_read(const char *path, char public_key[KEY_TEXT]);

// A new key pair for a name; the old one counts for keep_hours more (0: not at all). The secret's file and the registry
// are changed in place. Safe to cut short and to run again at any point: the old key counts until the new one is kept.
int key_rotate(const char *folder, const char *name, long keep_hours);

// A name may from now on also ask this service. Does nothing where it may already, or may ask none by a hand's decision
// (no field `asks`).
void key_let_ask(const char *folder, const char *name, const char *service);

// Take a section of the registry out, and the second keys of its name: what has one is refused from its next message
// on. Its secret is laid aside as NAME.revoked.zpl, so that it can not come back by accident.
int key_revoke(const char *folder, const char *name);
