import { createRequire } from 'node:module';
import { VmcoreError } from '../../error.ts';

/** The official client, which is loaded only for an address `s3:`, and may be left out. */
const CLIENT = '@aws-sdk/client-s3';

/** Instead of the client's own words, in which a part of a command that gives credentials may be. */
export const NO_CREDENTIALS =
  'no credentials: expected those of the standard chain (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or a role)';

/**
 * Where the client is.
 *
 * @param shown the address that needs it, for errors
 * @throws {VmcoreError} when it is not installed
 */
export function s3ClientFile(shown: string): string {
  // What it would say of old versions of Node on standard error is for whoever installs it.
  process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED = 'true';
  try {
    return createRequire(import.meta.url).resolve(CLIENT);
  } catch {
    throw new VmcoreError(`${shown} cannot be read: ${CLIENT} is not installed: npm install ${CLIENT}`, {
      unread: true,
    });
  }
}

/** How the client is made. Credentials, region and endpoint are those of its standard chain. */
export function s3Config() {
  const { AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL = AWS_ENDPOINT_URL_S3 } = process.env;
  return {
    // What stores that are compatible have is at their own address, which seldom has a name for each bucket.
    forcePathStyle: AWS_ENDPOINT_URL !== undefined,
    followRegionRedirects: true,
    responseChecksumValidation: 'WHEN_REQUIRED',
    ...(AWS_ENDPOINT_URL !== undefined && process.env.AWS_REGION === undefined && { region: 'us-east-1' }),
  } as const;
}
