import { isWebAddress, shownWebAddress } from '@heki/vmcore/node';

/** Addresses as they were given, by what is told of them. */
const given = new Map<string, string>();

/**
 * An argument of the command as everything but the web server may know it, which reports and errors repeat: an address on the web without its user and password, and
 * without what follows `?`. Others are as they were.
 */
export function withoutCredentials(argument: string): string {
  if (!isWebAddress(argument)) return argument;
  const shown = shownWebAddress(argument);
  // Two addresses may differ in nothing else.
  for (let number = 1; ; number++) {
    const name = number === 1 ? shown : `${shown}#${number}`;
    const known = given.get(name) ?? argument;
    if (known !== argument) continue;
    given.set(name, argument);
    return name;
  }
}

/** The address that {@link withoutCredentials} took something out of; any other path as it is. */
export function withCredentials(path: string): string {
  return given.get(path) ?? path;
}
