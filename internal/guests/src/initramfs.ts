import { execFileSync, spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';

/** What goes into the initial file system of a guest. */
export interface InitramfsContents {
  /** Where the kernel's package was unpacked, and its release. */
  readonly kernelRoot: string;
  readonly release: string;
  /** Modules to load in order, each after those that it needs. */
  readonly modules: readonly string[];
  /** Lines of shell, run after the modules are loaded and before the guest reports. */
  readonly commands: readonly string[];
  /** Whether the guest tells all symbols that it has, packed by gzip and base64. */
  readonly symbols: boolean;
  /** Other files: path in the guest to path here. A program brings the libraries that it needs. */
  readonly files: Readonly<Record<string, string>>;
}

/** Symbols that a fixture's sidecar tells, as far as the kernel has them. */
const TOLD_SYMBOLS = [
  '_text',
  '_stext',
  '_etext',
  '__entry_text_start',
  '__entry_text_end',
  'entry_SYSCALL_64',
  '__start_rodata',
  '__end_rodata',
  '_sdata',
  '_edata',
  '__bss_start',
  '__bss_stop',
  '_end',
  'init_top_pgt',
  'sys_call_table',
  'phys_base',
  'page_offset_base',
  'vmalloc_base',
  'vmemmap_base',
] as const;

/**
 * Writes a cpio archive with busybox and an init that loads the modules, runs the commands, and then tells on the
 * second serial line what the guest knows of itself: a line `== NAME` before each part, `== READY` at the end. The
 * guest then stays in a loop of the shell: mostly in user mode, with a system call now and then.
 */
export function writeInitramfs(path: string, contents: InitramfsContents): void {
  const folder = mkdtempSync(join(tmpdir(), 'heki-initramfs-'));
  try {
    for (const name of ['bin', 'dev', 'proc', 'sys', 'modules', 'tmp']) mkdirSync(join(folder, name));
    copyFileSync('/bin/busybox', join(folder, 'bin/busybox'));
    const modules = withDependencies(contents);
    for (const file of modules) {
      const to = join(folder, 'modules', basename(file).replace(/\.xz$/, ''));
      if (file.endsWith('.xz')) writeFileSync(to, execFileSync('xz', ['-dc', file], { maxBuffer: 2 ** 28 }));
      else copyFileSync(file, to);
    }
    for (const [inGuest, here] of Object.entries(contents.files)) {
      for (const [to, from] of [[inGuest, here] as const, ...librariesOf(here)]) {
        mkdirSync(dirname(join(folder, to)), { recursive: true });
        copyFileSync(from, join(folder, to));
      }
    }
    const loads = modules.map((file) => `insmod /modules/${basename(file).replace(/\.xz$/, '')}`);
    writeFileSync(join(folder, 'init'), initScript([...loads, ...contents.commands], contents.symbols), {
      mode: 0o755,
    });
    const archive = execFileSync('sh', ['-c', 'find . | sort | cpio -o -H newc -R 0:0 --quiet'], {
      cwd: folder,
      maxBuffer: 2 ** 30,
    });
    writeFileSync(path, archive);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The shared libraries of the program at `path`, to and from. */
function librariesOf(path: string): (readonly [string, string])[] {
  const { stdout } = spawnSync('ldd', [path], { encoding: 'utf8' });
  return Array.from(stdout.matchAll(/(?:=> |^\s+)(\/\S+) \(/gm), ([, library = '']) => [library, library]);
}

function initScript(commands: readonly string[], symbols: boolean): string {
  const part = (name: string, command: string) => `echo "== ${name}"; ${command}`;
  return [
    '#!/bin/busybox sh',
    '/bin/busybox --install -s /bin',
    'export PATH=/bin',
    'mount -t devtmpfs dev /dev; mount -t proc proc /proc; mount -t sysfs sys /sys',
    'mount -t tracefs trace /sys/kernel/tracing',
    'echo 0 > /proc/sys/kernel/printk_devkmsg 2>/dev/null',
    ...commands,
    '{',
    part('version', 'cat /proc/version'),
    part('cmdline', 'cat /proc/cmdline'),
    part('iomem', 'cat /proc/iomem'),
    part('modules', 'cat /proc/modules'),
    part('directmap', 'grep DirectMap /proc/meminfo'),
    part('symbols', `grep -E ' (${TOLD_SYMBOLS.join('|')})$' /proc/kallsyms`),
    part('sampled', "wc -l < /proc/kallsyms; awk 'NR % 97 == 1' /proc/kallsyms"),
    part('wx', "dmesg | grep 'W+X'"),
    part('crash', 'cat /sys/kernel/kexec_crash_loaded'),
    part('flags', "grep -m1 '^flags' /proc/cpuinfo"),
    ...(symbols
      ? [
          part('kallsyms', 'gzip -c /proc/kallsyms | base64'),
          part('sections', 'cd /sys/module; grep -H . */sections/.* */sections/*; cd /'),
        ]
      : []),
    'echo "== READY"',
    '} > /dev/ttyS1 2>/dev/null',
    'exec 2>/dev/null',
    'while :; do i=0; while [ $i -lt 200 ]; do i=$((i + 1)); done; echo > /dev/null; done',
    '',
  ].join('\n');
}

/** The files of the modules and of all that they need, needed ones first. */
function withDependencies({ kernelRoot, release, modules }: InitramfsContents): string[] {
  const base = join(kernelRoot, 'lib/modules', release);
  if (!existsSync(join(base, 'modules.dep'))) execFileSync('depmod', ['-b', kernelRoot, release]);
  const needs = new Map<string, readonly string[]>();
  const paths = new Map<string, string>();
  for (const line of readFileSync(join(base, 'modules.dep'), 'utf8').split('\n')) {
    const [path = '', rest = ''] = line.split(':');
    if (path === '') continue;
    paths.set(moduleName(path), path);
    needs.set(
      moduleName(path),
      rest
        .trim()
        .split(' ')
        .filter((name) => name !== '')
        .map(moduleName),
    );
  }
  const ordered: string[] = [];
  const add = (name: string): void => {
    const path = paths.get(name);
    // What is built in has no file.
    if (path === undefined || ordered.includes(join(base, path))) return;
    for (const needed of needs.get(name) ?? []) add(needed);
    ordered.push(join(base, path));
  };
  for (const name of modules) add(name);
  return ordered;
}

function moduleName(path: string): string {
  return basename(path)
    .replace(/\.ko(\.xz)?$/, '')
    .replaceAll('-', '_');
}
