// What the fake libraries of Xen share: a journal of calls, and a script of results.
#pragma once

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// One line for each call, in the file that FAKE_XEN_JOURNAL names.
__attribute__((format(printf, 1, 2))) static inline void note(const char *format, ...) {
  FILE *journal = fopen(getenv("FAKE_XEN_JOURNAL"), "a");
  if (!journal) abort();
  va_list arguments;
  va_start(arguments, format);
  vfprintf(journal, format, arguments);
  va_end(arguments);
  fputc('\n', journal);
  fclose(journal);
}

// FAKE_XEN_SCRIPT holds "name=number " for every result that is not 0.
static inline long scripted(const char *name) {
  const char *script = getenv("FAKE_XEN_SCRIPT");
  const size_t length = strlen(name);
  for (const char *at = script; at && (at = strstr(at, name)); at += length)
    if ((at == script || at[-1] == ' ') && at[length] == '=') return strtol(at + length + 1, NULL, 0);
  return 0;
}

// As the libraries do: -1 and errno where the script has a negative number.
static inline int result_of(const char *name) {
  const long result = scripted(name);
  if (result >= 0) return (int)result;
  errno = (int)-result;
  return -1;
}

// A handle, or NULL and errno. Loud: without a logger of the caller's, a library would write to the standard error.
static inline void *open_handle(const char *name, const void *logger, size_t size) {
  note("%s%s", name, logger ? "" : " loud");
  return result_of(name) < 0 ? NULL : calloc(1, size);
}
