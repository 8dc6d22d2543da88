import { existsSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { fileFingerprint, type WorkItem, type WorkOptions } from '@heki/fleet';
import { isLiveGuest, isWebAddress, s3Version, webAddressesOf } from '@heki/vmcore/node';
import { glob, isDynamicPattern } from 'tinyglobby';
import { z } from 'zod';
import { InputError, UsageError } from '../failure.ts';
import { INPUT_KINDS } from '../input/input-kind.ts';
import { parseJson } from '../input/parse-json.ts';
import { readText } from '../input/read-text.ts';
import { withCredentials } from '../input/web-credentials.ts';
import { filesOfDump } from '../output-file.ts';
import { VERSION } from '../report/report-header.ts';
import { sourceAddress } from './source-address.ts';

/** What is said of all guests that are submitted. */
export interface SubmitOptions {
  readonly failOn?: string;
  readonly baseline?: string;
  readonly vmlinux?: string;
  readonly heki?: boolean;
  readonly redact?: boolean;
  readonly hypervisor?: string;
}

const LONGEST_URI = 4096;

/** A manifest, whose paths are relative to the `folder` that it is in. */
function manifestSchema(folder: string) {
  const uri = z
    .string()
    .min(1)
    .max(LONGEST_URI)
    // PostgreSQL has no such characters, and no source has them in its name.
    .refine((text) => !text.includes('\0'), { error: 'expected no U+0000', abort: true })
    .transform((text, { addIssue }) => {
      try {
        return sourceAddress(text, folder);
      } catch (error) {
        if (!(error instanceof UsageError)) throw error;
        addIssue(error.message);
        return z.NEVER;
      }
    });
  return z.strictObject({ version: z.literal(1), items: z.array(z.strictObject({ uri })) });
}

/** What is to be done, and the files of patterns that are not there: removed since, or their names are no UTF-8. */
export interface WorkList {
  readonly items: readonly WorkItem[];
  readonly missing: readonly string[];
}

/**
 * The work items of files, patterns, addresses and manifests.
 *
 * @throws {UsageError} for a pattern that no file has, and an address with credentials
 * @throws the file system's own error for a file that was named and is not there
 */
export async function workItems(sources: readonly string[], options: SubmitOptions): Promise<WorkList> {
  const uris = new Set<string>();
  const ofPatterns = new Set<string>();
  for (const source of sources) {
    if (isPattern(source)) for (const file of await filesOf(source)) ofPatterns.add(file);
    else for (const uri of await urisOf(source)) uris.add(uri);
  }
  const stated = statedOptions(options);
  const items: WorkItem[] = [];
  const missing: string[] = [];
  for (const uri of new Set([...uris, ...ofPatterns])) {
    try {
      const source = { uri, fingerprint: await sourceFingerprint(uri, stated) };
      items.push({ source, command: 'audit', options: stated, hekiVersion: VERSION });
    } catch (error) {
      // One of thousands must not keep the others from being submitted.
      if (uris.has(uri) || existsSync(uri)) throw error;
      missing.push(uri);
    }
  }
  return { items, missing };
}

/** Options that are not the defaults. Files are named so that a worker finds them from wherever it is. */
function statedOptions({ failOn, baseline, vmlinux, heki, redact, hypervisor }: SubmitOptions): WorkOptions {
  return {
    ...(failOn !== undefined && { failOn }),
    ...(baseline !== undefined && { baseline: resolve(baseline) }),
    ...(vmlinux !== undefined && { vmlinux: resolve(vmlinux) }),
    ...(heki === false && { heki }),
    ...(redact === true && { redact }),
    ...(hypervisor !== undefined && { hypervisor }),
  };
}

async function urisOf(source: string): Promise<string[]> {
  const address = sourceAddress(withCredentials(source), '');
  if (isWebAddress(address) || isLiveGuest(address)) return [address];
  if (address.endsWith('.json')) {
    const schema = manifestSchema(dirname(address));
    const { items } = parseJson(await readText(address, INPUT_KINDS.manifest), address, schema);
    return items.map(({ uri }) => uri);
  }
  return [address];
}

function isPattern(source: string): boolean {
  const isOther = isWebAddress(source) || isLiveGuest(source) || source.endsWith('.json');
  return !isOther && isDynamicPattern(source) && !existsSync(source);
}

async function filesOf(pattern: string): Promise<string[]> {
  // What stands beside a dump is none.
  const found = (await glob(pattern, { absolute: true, expandDirectories: false })).filter(
    (path) => !path.endsWith('.json'),
  );
  if (found.length === 0) throw new UsageError(`${pattern}: no file has such a name`);
  return found.sort();
}

/**
 * What changes when the source does, or a file that the options name. A guest that runs is another one each time that it is asked for.
 */
export async function sourceFingerprint(uri: string, options: WorkOptions): Promise<string> {
  if (isLiveGuest(uri)) return new Date().toISOString();
  if (isWebAddress(uri)) return (await Promise.all(webAddressesOf(uri).map(webFingerprint))).join(' ');
  const [file = uri, ...others] = existsSync(uri) ? [uri, ...filesOfDump(uri).slice(-1)] : uri.split(',');
  const named = [options.baseline, options.vmlinux].filter((path) => typeof path === 'string');
  return fileFingerprint([file, ...others, ...named]);
}

const ANSWER = 30_000;

/** What the server says of the file. @throws {InputError} where it cannot be asked */
async function webFingerprint(uri: string): Promise<string> {
  if (/^s3:/i.test(uri)) return s3Version(uri);
  const answer = await fetch(uri, { method: 'HEAD', signal: AbortSignal.timeout(ANSWER) }).catch(
    (error: unknown) => {
      const why = error instanceof Error ? (error.cause instanceof Error ? error.cause : error).message : '';
      throw new InputError(`cannot be reached: ${why}`, { file: uri }, error);
    },
  );
  if (!answer.ok) throw new InputError(`the server answers ${answer.status}`, { file: uri });
  return ['etag', 'last-modified', 'content-length'].map((name) => answer.headers.get(name) ?? '').join(' ');
}
