// text: UTF-8 as Tildel accepts it: shortest form, no surrogates, no control characters but line feed and tab.
#pragma once

#include <stdbool.h>
#include <stddef.h>

// Bytes of the character that begins at text, of which at most size bytes may be read; 0 when there is none that
// Tildel accepts.
size_t text_character(const char *text, size_t size);

// Is this whole stretch of bytes acceptable text? Empty is.
bool text_valid(const char *text, size_t size);
