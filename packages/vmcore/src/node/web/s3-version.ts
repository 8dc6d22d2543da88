import { createRequire } from 'node:module';
import { VmcoreError } from '../../error.ts';
import { answerText } from './range-requests.ts';
import { NO_CREDENTIALS, s3ClientFile, s3Config } from './s3-client.ts';
import { parseWebAddress } from './web-address.ts';

/**
 * What changes when the object at `s3://BUCKET/KEY` does: its tag, time and size.
 *
 * @throws {VmcoreError} when the store cannot be asked, or has no such object
 */
export async function s3Version(address: string): Promise<string> {
  const { object, shown } = parseWebAddress(address);
  const load = createRequire(import.meta.url);
  const { S3Client, HeadObjectCommand, S3ServiceException }: typeof import('@aws-sdk/client-s3') = load(
    s3ClientFile(shown),
  );
  const client = new S3Client(s3Config());
  try {
    const command = new HeadObjectCommand({ Bucket: object?.Bucket, Key: object?.Key });
    const { ETag, LastModified, ContentLength } = await client.send(command);
    return `${ETag ?? ''} ${LastModified?.toISOString() ?? ''} ${ContentLength ?? ''}`;
  } catch (error) {
    const status = error instanceof S3ServiceException ? error.$metadata.httpStatusCode : undefined;
    const { name, code } = error as NodeJS.ErrnoException;
    const why =
      name === 'CredentialsProviderError'
        ? NO_CREDENTIALS
        : status === undefined
          ? (code ?? name)
          : answerText(status, name);
    throw new VmcoreError(`${shown} cannot be read: ${why}`, { unread: true });
  } finally {
    client.destroy();
  }
}
