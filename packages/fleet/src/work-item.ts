import { createHash } from 'node:crypto';

/** What is asked of one guest. Two that are equal are one: the second gets the result of the first. */
export interface WorkItem {
  readonly source: {
    /** A file's path, or an address as `heki audit` takes it. Without credentials. */
    readonly uri: string;
    /** Changes when what is at `uri` does. */
    readonly fingerprint: string;
  };
  readonly command: 'audit';
  /** Options of the command by their names, as far as they are not the defaults. */
  readonly options: WorkOptions;
  readonly hekiVersion: string;
}

export type WorkOptions = Readonly<Record<string, string | number | boolean>>;

/**
 * The id of a job and of its result: a UUID (RFC 9562, version 8) out of the hash of all that the item says, in whatever order.
 */
export function workItemId(item: WorkItem): string {
  const digest = createHash('sha256').update(canonical(item)).digest().subarray(0, 16);
  digest.writeUInt8((digest.readUInt8(6) % 16) + 0x80, 6);
  digest.writeUInt8((digest.readUInt8(8) % 64) + 0x80, 8);
  return digest.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

/** JSON whose keys are in the order of their letters, and none is `undefined`. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}
