import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { connectGdb, type GdbRemote } from './gdb-remote.ts';
import type { Guest } from './guest.ts';
import { writeInitramfs } from './initramfs.ts';
import { kernelRelease, unpackPackage } from './kernel-package.ts';
import { connectQmp, type Qmp } from './qmp.ts';

/** TCG takes 7 to 60 s to boot a kernel, and longer on a busy machine. */
const BOOT_TIMEOUT_MS = 600_000;

/** A guest that runs, and has told what it knows of itself. */
export interface RunningGuest {
  readonly qmp: Qmp;
  /** Connects a debugger, which stops the guest. */
  debug(): Promise<GdbRemote>;
  /** The parts of what the guest told, by name. */
  readonly told: ReadonlyMap<string, readonly string[]>;
  readonly command: string;
  /** Sockets without a peer yet: of a second QMP, and of the debugger. */
  readonly liveQmp: string;
  readonly gdbSocket: string;
  /** The file of its RAM, where it has one. */
  readonly ramFile: string | undefined;
  end(): Promise<void>;
}

/** Boots `guest` in `folder`, with packages under `packages`, and waits until it is ready. */
export async function bootGuest(
  guest: Guest,
  folder: string,
  packages: string,
  timeoutMs: number = BOOT_TIMEOUT_MS,
): Promise<RunningGuest> {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const at = (name: string) => join(folder, name);
  const kernel = unpackPackage(`linux-image-${guest.kernel}`, packages);
  const release = kernelRelease(kernel);
  const image = join(kernel.root, 'boot', `vmlinuz-${release}`);
  writeInitramfs(at('initramfs'), {
    kernelRoot: kernel.root,
    release,
    modules: ['qemu_fw_cfg', ...(guest.modules ?? [])],
    symbols: guest.symbols === true,
    commands: [...(guest.plug === undefined ? [] : WAIT_FOR_PLUG), ...(guest.commands ?? [])],
    files: Object.fromEntries(
      Object.entries(guest.files ?? {}).map(([there, here]) => [
        there,
        here === 'KERNEL' ? image : fileFor(here, folder, packages),
      ]),
    ),
  });
  writeFileSync(at('facts'), '');
  const options = [
    ...['-accel', 'tcg', '-cpu', guest.cpu, '-m', guest.memory, '-smp', String(guest.cpus ?? 1)],
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
    ...['-kernel', image, '-initrd', at('initramfs')],
    ...['-append', `console=ttyS0 panic=-1 ${guest.cmdline}`.trim()],
    ...(guest.vmcoreinfo === false ? [] : ['-device', 'vmcoreinfo']),
    ...['-serial', `file:${at('console')}`, '-serial', `file:${at('facts')}`],
    ...['-qmp', `unix:${at('qmp')},server=on,wait=off`, '-gdb', `unix:${at('gdb')},server=on,wait=off`],
    ...['-qmp', `unix:${at('qmp-live')},server=on,wait=off`],
    ...(guest.ramInFile === true ? ramInFile(at('ram'), guest.memory) : []),
    ...(guest.qemu ?? []),
  ];
  if (!options.includes('-machine')) options.unshift('-machine', 'pc');
  const process = spawn('qemu-system-x86_64', options, { stdio: ['ignore', 'ignore', 'pipe'] });
  let complaint = '';
  process.stderr?.on('data', (data) => {
    complaint += String(data);
  });
  try {
    await until(
      () => existsSync(at('qmp')),
      process,
      () => complaint,
      timeoutMs,
    );
    const qmp = await connectQmp(at('qmp'));
    if (guest.plug !== undefined) {
      await until(
        () => readFileSync(at('facts'), 'latin1').includes('== PLUG'),
        process,
        () => complaint,
        timeoutMs,
      );
      for (const [command, parameters] of guest.plug) await qmp.execute(command, parameters);
    }
    const tail = () => readFileSync(at('facts'), 'latin1');
    await until(
      () => tail().includes('== READY'),
      process,
      () => complaint || lastLines(at('console')),
      timeoutMs,
    );
    return {
      qmp,
      debug: () => connectGdb(at('gdb')),
      told: partsOf(tail()),
      liveQmp: at('qmp-live'),
      gdbSocket: at('gdb'),
      ramFile: guest.ramInFile === true ? at('ram') : undefined,
      command: withoutPaths(['qemu-system-x86_64', ...options], folder, packages),
      async end() {
        qmp.close();
        await stop(process);
      },
    };
  } catch (error) {
    await stop(process);
    throw error;
  }
}

/** Where a guest's file is: one here, a program in C, which is compiled, or one of a Debian package (`PACKAGE:/path`). */
function fileFor(here: string, folder: string, packages: string): string {
  const [name, path] = here.split(':');
  if (name !== undefined && path !== undefined) return join(unpackPackage(name, packages).root, path);
  if (!here.endsWith('.c')) return here;
  const program = join(folder, basename(here, '.c'));
  execFileSync('cc', ['-O1', '-static', here, '-o', program]);
  return program;
}

function ramInFile(path: string, size: string): string[] {
  return [
    ...['-object', `memory-backend-file,id=ram,size=${size},mem-path=${path},share=on`],
    ...['-machine', 'pc,memory-backend=ram'],
  ];
}

/** The version that QEMU tells of itself. */
export function qemuVersion(): string {
  const [first = ''] = execFileSync('qemu-system-x86_64', ['--version'], { encoding: 'utf8' }).split('\n');
  return first.replace(' emulator version', '');
}

/** In the guest: says that it is ready for what is plugged in, and gives it time to be noticed. */
const WAIT_FOR_PLUG = ['echo "== PLUG" > /dev/ttyS1', 'sleep 3'];

async function until(
  done: () => boolean,
  process: ChildProcess,
  why: () => string,
  timeoutMs: number,
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!done()) {
    if (process.exitCode !== null) throw new Error(`QEMU ended with code ${process.exitCode}: ${why()}`);
    if (Date.now() > deadline) throw new Error(`the guest is not ready after ${timeoutMs} ms: ${why()}`);
    await delay(200);
  }
}

async function stop(process: ChildProcess): Promise<void> {
  if (process.exitCode !== null) return;
  const ended = new Promise((resolve) => process.once('exit', resolve));
  process.kill('SIGKILL');
  await ended;
}

function partsOf(text: string): Map<string, readonly string[]> {
  const parts = new Map<string, string[]>();
  let part: string[] = [];
  for (const line of text.split(/\r?\n/)) {
    const name = /^== (\w+)$/.exec(line)?.[1];
    if (name !== undefined) {
      part = [];
      parts.set(name, part);
    } else if (line !== '') part.push(line);
  }
  return parts;
}

function lastLines(path: string): string {
  if (!existsSync(path) || statSync(path).size === 0) return 'its console is silent';
  return readFileSync(path, 'latin1').split('\n').slice(-15).join('\n');
}

function withoutPaths(words: readonly string[], folder: string, packages: string): string {
  return words
    .map((word) => word.replaceAll(`${folder}/`, '').replaceAll(new RegExp(`${packages}/\\S*/`, 'g'), ''))
    .map((word) => (/[\s;]/.test(word) ? `'${word}'` : word))
    .join(' ');
}
