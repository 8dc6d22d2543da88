import { VmcoreError } from '../../error.ts';

/** Where a file is on the web, in its parts. */
export interface WebAddress {
  /** What is asked for: without user and password. */
  readonly url: string;
  /** The header that user and password make (RFC 7617); absent where there are none. */
  readonly authorization: string | undefined;
  /** For people: {@link shownWebAddress}. */
  readonly shown: string;
}

/** Whether `path` is the address of a file on the web, and no file here. */
export function isWebAddress(path: string): boolean {
  return /^https?:\/\//i.test(path);
}

/** The addresses in `path`: the parts of a dump that was split are joined by commas. */
export function webAddressesOf(path: string): string[] {
  return path.split(/,(?=https?:\/\/)/i);
}

/**
 * Addresses, joined by commas, as they may be printed: without users and passwords, and without what follows `?`, which in addresses that were signed (S3,
 * Azure, Google) is as good as a password.
 */
export function shownWebAddress(path: string): string {
  return webAddressesOf(path).map(shown).join(',');
}

function shown(address: string): string {
  const bare = address.replace(/[?#].*$/s, '').replace(/^([^/]*\/\/)[^/]*@/, '$1');
  return address.includes('?') ? `${bare}?...` : bare;
}

/** @throws {VmcoreError} when it is none, whose message does not repeat it */
export function parseWebAddress(address: string): WebAddress {
  const url = urlOf(address);
  const { username, password } = url;
  url.username = '';
  url.password = '';
  url.hash = '';
  const credentials = `${decoded(username)}:${decoded(password)}`;
  return {
    url: url.href,
    authorization:
      credentials === ':' ? undefined : `Basic ${Buffer.from(credentials, 'utf8').toString('base64')}`,
    shown: shown(address),
  };
}

function urlOf(address: string): URL {
  try {
    return new URL(address);
  } catch {
    // The error would repeat the address.
    throw new VmcoreError(
      `${shown(address)} is not the address of a file on the web: expected https://HOST/PATH`,
    );
  }
}

/** Without its percent signs; as it is, where these are none of an address. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
