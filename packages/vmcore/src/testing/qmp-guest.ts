import { closeSync, ftruncateSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { frameOf, gpa, PAGE_SIZE } from '@heki/physical-memory';
import type { VmcoreCpu } from '../cpu-note.ts';
import type { Vmcore } from '../vmcore.ts';
import { inflatedFixture } from './fixtures.ts';

/** Answers as QEMU 7.2 does, in a thread of its own, because who asks waits without events. */
const SERVER = `
const fs = require('node:fs');
const { folder, notes, ranges, properties, refuses, running, registers, pidless, stub, rival } = require('node:worker_threads').workerData;
const memory = fs.openSync(folder + '/memory', 'r');
const status = { running };
const hex = (value, digits) => value.toString(16).padStart(digits, '0');
const page = (at) => { const bytes = Buffer.alloc(4096); fs.readSync(memory, bytes, 0, 4096, at); return bytes; };
const monitor = (line) => {
  if (line === 'info mtree -f') {
    const lines = ranges.map(([start, end, kind, name, offset]) =>
      '  ' + hex(start, 16) + '-' + hex(end - 1, 16) + ' (prio 0, ' + kind + '): ' + name + (offset ? ' @' + hex(offset, 16) : ''));
    return ['FlatView #0', ' AS "I/O", root: io', ' Root memory region: io', 'FlatView #1', ' AS "memory", root: system', ' Root memory region: system', ...lines, ''].join('\\r\\n');
  }
  if (line === 'info registers -a') return registers.replaceAll('\\n', '\\r\\n');
  throw new Error('QEMU would print: ' + line);
};
const save = ({ val, size, filename }) => {
  const range = ranges.find(([start, end]) => start <= val && val + size <= end);
  fs.writeFileSync(filename, page(range[4] + val - range[0]).subarray(0, size));
  return {};
};
const commands = {
  qmp_capabilities: () => ({}),
  'query-status': () => ({ running: status.running, status: status.running ? 'running' : 'paused' }),
  'query-chardev': () => [{ label: 'serial0', filename: 'file' }, ...(stub ? [{ label: 'gdb', filename: 'disconnected:unix:' + folder + '/gdb,server=on' }] : [])],
  stop: () => { status.running = false; return {}; },
  cont: () => { status.running = true; return {}; },
  'dump-guest-memory': ({ protocol }) => { fs.copyFileSync(notes, protocol.slice(5)); status.running ||= rival; return {}; },
  pmemsave: save,
  'qom-get': ({ path, property }) => properties[path + '.' + property],
  'human-monitor-command': (given) => monitor(given['command-line']),
};
require('node:net').createServer((socket) => {
  socket.write('{"QMP": {"version": {}, "capabilities": []}}\\r\\n');
  let text = '';
  let left = false;
  socket.on('error', () => {});
  socket.on('end', () => { left = true; });
  const answer = (execute, given, id) => {
    fs.appendFileSync(folder + '/log', execute + '\\n');
    socket.write('{"event": "SOMETHING", "timestamp": {}}\\r\\n');
    const value = execute === refuses ? undefined : commands[execute](given ?? {});
    const reply = value === undefined ? { error: { class: 'GenericError', desc: 'Property not found' }, id } : { return: value, id };
    // QEMU has spaces behind colons, which its readers must not want.
    socket.write(JSON.stringify(reply).replace(/"id":/, '"id": ') + '\\r\\n');
  };
  socket.on('data', (data) => {
    text += data;
    for (let end = text.indexOf('\\n'); end >= 0; end = text.indexOf('\\n')) {
      const { execute, arguments: given, id } = JSON.parse(text.slice(0, end));
      text = text.slice(end + 1);
      // What was not begun when its client leaves is dropped.
      if (execute === 'cont') setTimeout(() => left || answer(execute, given, id), 20);
      else answer(execute, given, id);
    }
  });
}).listen(folder + '/qmp', () => require('node:worker_threads').parentPort.postMessage('listens'));
let physical = 0;
const gdbAnswers = (contents) => {
  if (contents === 'Qqemu.PhyMemMode:1' || contents === 'Qqemu.PhyMemMode:0') {
    if (refuses === 'PhyMemMode') return [''];
    physical = Number(contents.at(-1));
    return ['OK'];
  }
  if (contents.startsWith('qRcmd,')) {
    const text = Buffer.from(monitor(Buffer.from(contents.slice(6), 'hex').toString())).toString('hex');
    return [...(text.match(/.{1,1000}/g) ?? []).map((part) => 'O' + part), 'OK'];
  }
  if (contents.startsWith('m') && physical === 1) {
    const [at, length] = contents.slice(1).split(',').map((text) => parseInt(text, 16));
    const range = ranges.find(([start, end]) => start <= at && at < end);
    if (range === undefined || length > 2048) return ['E22'];
    const offset = range[4] + at - range[0];
    const bytes = page(offset - (offset % 4096)).subarray(offset % 4096, (offset % 4096) + length);
    // Runs of zeroes as a stub may tell them.
    return [bytes.toString('hex').replace(/0{8}/g, '0*$')];
  }
  if (contents === (pidless ? 'D' : 'D;1')) { status.running = true; return ['OK']; }
  return ['E22'];
};
require('node:net').createServer((socket) => {
  status.running = false;
  let text = '';
  const send = (contents) => socket.write('$' + contents + '#' + hex(Buffer.from(contents).reduce((sum, byte) => (sum + byte) % 256, 0), 2));
  socket.on('error', () => {});
  socket.on('data', (data) => {
    text += data;
    for (let found = /\\$([^#]*)#../.exec(text); found !== null; found = /\\$([^#]*)#../.exec(text)) {
      text = text.slice(found.index + found[0].length);
      fs.appendFileSync(folder + '/log', found[1] + '\\n');
      socket.write('+');
      send('T05thread:01;');
      for (const answer of gdbAnswers(found[1])) send(answer);
    }
  });
}).listen(folder + '/gdb');
`;

/** Where RAM that finds no place below the devices goes on. */
const HOLE = 2 ** 32;

/** A guest behind a QMP socket. */
export interface QmpGuest {
  readonly socket: string;
  /** Of the gdb stub. */
  readonly gdbSocket: string;
  /** The commands and packets that were given, in order. */
  log(): string[];
  end(): Promise<void>;
}

/** What stands in the way of a plain reading. */
export interface QmpGuestSettings {
  /** Whether QEMU has the RAM in a file that it tells. */
  readonly backend: boolean;
  /** Where in that file RAM begins. Default: at its start. */
  readonly backendOffset?: number;
  /** Its name in `folder` as QEMU tells it. Default: `memory`, which holds the RAM. */
  readonly backendFile?: string;
  /** What QEMU tells of it is the folder that the file was made in, as with huge pages. */
  readonly backendFolder?: boolean;
  /** Where RAM goes on above the PCI hole; below is RAM up to `lowEnd`. */
  readonly lowEnd: number;
  readonly running: boolean;
  /** A command that QEMU refuses, or the mode of its gdb stub. */
  readonly refuses?: string;
  /** Whether the gdb stub wants D without a process. */
  readonly pidless?: boolean;
  /** Whether QMP tells of the gdb stub. */
  readonly stub?: boolean;
  /** Whether another client of QEMU lets the guest go on while it is read. */
  readonly rival?: boolean;
}

/** The memory and the CPUs of a fixture as a guest that runs under QEMU in `folder`. */
export async function startQmpGuest(
  folder: string,
  name: string,
  core: Vmcore,
  settings: QmpGuestSettings,
): Promise<QmpGuest> {
  const { backend, backendOffset, backendFolder = false, backendFile = 'memory', lowEnd, running } = settings;
  const { refuses, pidless = false, stub = false, rival = false } = settings;
  const end = core.segments.at(-1)?.end ?? 0;
  writeRam(join(folder, 'memory'), core, lowEnd);
  writeFileSync(join(folder, 'notes'), inflatedFixture(`${name}.elf.gz`));
  writeFileSync(join(folder, 'log'), '');
  const ranges = [
    [0, Math.min(end, lowEnd), 'ram', 'ram', 0],
    [0xfec0_0000, 0xfec0_1000, 'i/o', 'ioapic', 0],
    ...(end > HOLE ? [[HOLE, end, 'ram', 'ram', lowEnd]] : []),
  ];
  const properties = backend
    ? {
        '/objects/ram.mem-path': backendFolder ? folder : join(folder, backendFile),
        '/objects/ram.share': true,
        '/objects/ram.offset': backendOffset,
      }
    : {};
  const worker = new Worker(SERVER, {
    eval: true,
    workerData: {
      ...{ folder, notes: join(folder, 'notes'), ranges, properties, refuses, running, pidless, stub, rival },
      registers: core.cpus.map(printedRegisters).join(''),
    },
  });
  await new Promise((ready) => worker.once('message', ready));
  return {
    socket: join(folder, 'qmp'),
    gdbSocket: join(folder, 'gdb'),
    log: () => readFileSync(join(folder, 'log'), 'utf8').split('\n').slice(0, -1),
    async end() {
      await worker.terminate();
    },
  };
}

/** The RAM of a fixture, as QEMU has it in a file, at `path`. Pages that hold nothing take no room there: most of them do. */
export function writeRam(path: string, { segments, memory }: Vmcore, lowEnd: number): void {
  const end = segments.at(-1)?.end ?? 0;
  const file = openSync(path, 'w');
  ftruncateSync(file, end > HOLE ? lowEnd + (end - HOLE) : end);
  for (const segment of segments) {
    for (let at: number = segment.start; at < segment.end; at += PAGE_SIZE) {
      const page = memory.page(frameOf(gpa(at)));
      if (page === undefined) continue;
      const words = Uint32Array.from(page);
      if (words.every((word) => word === 0)) continue;
      writeSync(file, words, 0, PAGE_SIZE, at < HOLE ? at : at - HOLE + lowEnd);
    }
  }
  closeSync(file);
}

/** A CPU in 64-bit mode as QEMU's monitor prints it. */
function printedRegisters({ registers, segments, cr0, cr2, cr3, cr4 }: VmcoreCpu, index: number): string {
  const hex = (value: bigint | number, digits: number) => value.toString(16).padStart(digits, '0');
  const general = Object.entries(registers).map(([name, value]) =>
    name === 'rflags'
      ? `RFL=${hex(value, 8)} [---Z-P-] CPL=0`
      : `${name.toUpperCase().padEnd(3)}=${hex(value, 16)}`,
  );
  const selectors = Object.entries(segments).map(([name, { selector, base, limit, flags }]) => {
    const isTable = name === 'gdt' || name === 'idt';
    const start = `${name.toUpperCase().padEnd(3)}=${isTable ? '    ' : hex(selector, 4)} ${hex(base, 16)} ${hex(limit, 8)}`;
    return isTable ? start : `${start} ${hex(flags, 8)} DPL=0`;
  });
  const control = `CR0=${hex(cr0, 8)} CR2=${hex(cr2, 16)} CR3=${hex(cr3, 16)} CR4=${hex(cr4, 8)}`;
  return `\nCPU#${index}\n${general.join(' ')}\n${selectors.join('\n')}\n${control}\nEFER=0000000000000d01\n`;
}
