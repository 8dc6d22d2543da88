import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isLiveGuest, isWebAddress } from '@heki/vmcore/node';
import { UsageError } from '../failure.ts';

/**
 * Where a guest is, in the one form that work items have: absolute paths, schemes in small letters, no secrets. What is the same guest is then
 * the same item, from wherever it was submitted.
 *
 * @param text a path, parts of a dump that commas join, or an address: `file:`, `https:`, `s3:`, `qmp:`, `gdb:`
 * @param folder what paths are relative to
 * @throws {UsageError} for an address with a user, a password or a query, and a `file:` of another machine
 */
export function sourceAddress(text: string, folder: string): string {
  if (isWebAddress(text)) return withoutSecrets(text);
  if (isLiveGuest(text)) return liveAddress(text, folder);
  const whole = localPath(text, folder);
  // A file whose name has a comma is a file.
  if (!text.includes(',') || existsSync(whole)) return whole;
  return text
    .split(',')
    .map((part) => localPath(part, folder))
    .join(',');
}

/** The path of a file that `text` names by itself or by a `file:` address (RFC 8089). */
function localPath(text: string, folder: string): string {
  if (!/^file:/i.test(text)) return resolve(folder, text);
  try {
    const url = new URL(text);
    if (/^file:\//i.test(text) && url.search === '' && url.hash === '') return fileURLToPath(url);
  } catch {
    // Of another machine, or with a slash in a name: below.
  }
  throw new UsageError(
    `${text}: not the address of a file here: expected file:///PATH, with %3F for ? and %23 for #`,
  );
}

/** @throws {UsageError} where an address has what must not be kept */
function withoutSecrets(text: string): string {
  const uri = text.replace(/(^|,)(?:https?|s3):/gi, (scheme) => scheme.toLowerCase());
  if (!/(?:^|,)(?:https?|s3):\/\/[^/,]*@|\?/.test(uri)) return uri;
  const shown = uri.replace(/[?].*$/s, '').replace(/\/\/[^/]*@/g, '//');
  throw new UsageError(
    `an address with a user, a password or a query is not kept in a queue: expected one without (${shown})`,
  );
}

/** Sockets are on the machine where the guest runs: of a path the folder is known here alone. */
function liveAddress(text: string, folder: string): string {
  const scheme = text.slice(0, 4).toLowerCase();
  const socket = text.slice(4);
  const isPath = scheme === 'qmp:' || !/^[^/]*:\d{1,5}$/.test(socket);
  return scheme + (isPath ? resolve(folder, socket) : socket);
}
