import { VmcoreError } from '../../error.ts';

/** Where a file is on the web, in its parts. */
export interface WebAddress {
  /** What is asked for: without user and password. */
  readonly url: string;
  /** The header that user and password make (RFC 7617); absent where there are none. */
  readonly authorization: string | undefined;
  /** Of `s3://BUCKET/KEY`, what an object store calls it. */
  readonly object?: { readonly Bucket: string; readonly Key: string };
  /** For people: {@link shownWebAddress}. */
  readonly shown: string;
}

/** Whether `path` is the address of a file on the web, and no file here. */
export function isWebAddress(path: string): boolean {
  return /^(?:https?|s3):\/\//i.test(path);
}

/** The addresses in `path`: the parts of a dump that was split are joined by commas. */
export function webAddressesOf(path: string): string[] {
  return path.split(/,(?=(?:https?|s3):\/\/)/i);
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
  if (/^s3:/i.test(address)) return s3Address(address);
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

/** A key is taken as it is: it has no percent signs to be decoded, and no query. */
function s3Address(address: string): WebAddress {
  const [, Bucket, Key] = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])\/(.+)$/is.exec(address) ?? [];
  if (Bucket !== undefined && Key !== undefined && !/[?#]/.test(Key)) {
    return { url: address, authorization: undefined, object: { Bucket, Key }, shown: address };
  }
  throw new VmcoreError(
    `${shown(address)} is not the address of an object: expected s3://BUCKET/KEY, without user, password, ? and #`,
  );
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
