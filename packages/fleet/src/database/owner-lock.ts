import { randomUUID } from 'node:crypto';
import { linkSync, readFileSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { FleetError } from '../error.ts';

const ownerSchema = z.object({
  id: z.uuid(),
  host: z.string(),
  pid: z.int().positive(),
  /** When that process began, as the kernel counts; empty where it does not tell. A process id comes again. */
  began: z.string(),
});

/** Whoever has a folder. */
type Owner = z.infer<typeof ownerSchema>;

/** What a folder's owner holds; the process that has it there has it alone. */
const LOCK = 'owner.json';

/**
 * Takes `folder` for this process alone, and gives what gives it back. A lock that a process left behind when it was killed is taken over.
 *
 * @throws {FleetError} when another process has it
 */
export function lockFolder(folder: string): () => void {
  const own: Owner = { id: randomUUID(), host: hostname(), pid: process.pid, began: beganAt(process.pid) };
  const mine = join(folder, `${own.id}.lock`);
  writeFileSync(mine, JSON.stringify(own), { mode: 0o600 });
  try {
    return takeLock(folder, LOCK, mine);
  } finally {
    unlinkSync(mine);
  }
}

/**
 * Puts `mine` at `name` in `folder`, and gives what takes it away. Two that find the lock of a process that has ended must not remove it one
 * after the other, the second one the new lock of the first: only who has the lock that has its id may, which is taken in the same way.
 */
function takeLock(folder: string, name: string, mine: string): () => void {
  const path = join(folder, name);
  // A link is made whole or not at all, and never over another: nobody reads half a lock.
  while (!linked(mine, path)) {
    const owner = ownerOf(path);
    if (owner === undefined) continue;
    if (isAlive(owner)) throw refused(folder, owner);
    const done = takeLock(folder, `${owner.id}.stale`, mine);
    try {
      if (ownerOf(path)?.id === owner.id) unlinkSync(path);
    } finally {
      done();
    }
  }
  const own = ownerOf(mine)?.id;
  // Where the folder was removed and made again, it may be another's.
  return () => {
    if (ownerOf(path)?.id === own) rmSync(path, { force: true });
  };
}

function refused(folder: string, { pid, host }: Owner): FleetError {
  const where = host === hostname() ? '' : ` on ${host}`;
  return new FleetError(
    `process ${pid}${where} has it: one process at a time works on an embedded database (--database names a PostgreSQL server, which many share)`,
    { place: { file: folder } },
  );
}

function linked(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if (isCode(error, 'EEXIST')) return false;
    throw error;
  }
}

function ownerOf(path: string): Owner | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined;
    throw error;
  }
  const parsed = ownerSchema.safeParse(jsonOf(text));
  if (parsed.success) return parsed.data;
  throw new FleetError('not the lock of a fleet: expected host, process and id of its owner', {
    place: { file: path },
  });
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Whether that process still runs. Of another machine's nothing is known. */
function isAlive({ host, pid, began }: Owner): boolean {
  if (host !== hostname()) return true;
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it is somebody else's.
    if (!isCode(error, 'EPERM')) return false;
  }
  return beganAt(pid) === began;
}

/** proc(5): field 22 of /proc/PID/stat, counted behind the name in parentheses, and which boot it is of. */
function beganAt(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
    return `${boot} ${stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]}`;
  } catch {
    return '';
  }
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
