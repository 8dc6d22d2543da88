import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { frameOf, gpa, PAGE_SIZE } from '@heki/physical-memory';
import type { Vmcore } from '../vmcore.ts';
import { inflatedFixture } from './fixtures.ts';

/** Answers as QEMU 7.2 does, in a thread of its own, because who asks waits without events. */
const SERVER = `
const fs = require('node:fs');
const { folder, notes, ranges, properties, refuses, running } = require('node:worker_threads').workerData;
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
  const [, count, address] = /^xp \\/(\\d+)wx 0x([0-9a-f]+)$/.exec(line);
  const at = parseInt(address, 16);
  const range = ranges.find(([start, end]) => start <= at && at < end);
  const bytes = page(range[4] + at - range[0]);
  let text = '';
  for (let word = 0; word < count; word += 4)
    text += hex(at + word * 4, 16) + ':' + [0, 1, 2, 3].map((i) => ' 0x' + hex(bytes.readUInt32LE((word + i) * 4), 8)).join('') + '\\r\\n';
  return text;
};
const commands = {
  qmp_capabilities: () => ({}),
  'query-status': () => ({ running: status.running, status: status.running ? 'running' : 'paused' }),
  stop: () => { status.running = false; return {}; },
  cont: () => { status.running = true; return {}; },
  'dump-guest-memory': ({ protocol }) => { fs.copyFileSync(notes, protocol.slice(5)); return {}; },
  'qom-get': ({ path, property }) => properties[path + '.' + property],
  'human-monitor-command': (given) => monitor(given['command-line']),
};
require('node:net').createServer((socket) => {
  socket.write('{"QMP": {"version": {}, "capabilities": []}}\\r\\n');
  let text = '';
  socket.on('error', () => {});
  socket.on('data', (data) => {
    text += data;
    for (let end = text.indexOf('\\n'); end >= 0; end = text.indexOf('\\n')) {
      const { execute, arguments: given, id } = JSON.parse(text.slice(0, end));
      text = text.slice(end + 1);
      fs.appendFileSync(folder + '/log', execute + '\\n');
      socket.write('{"event": "SOMETHING", "timestamp": {}}\\r\\n');
      const value = execute === refuses ? undefined : commands[execute](given ?? {});
      const answer = value === undefined ? { error: { class: 'GenericError', desc: 'Property not found' }, id } : { return: value, id };
      // QEMU has spaces behind colons, which its readers must not want.
      socket.write(JSON.stringify(answer).replace(/"id":/, '"id": ') + '\\r\\n');
    }
  });
}).listen(folder + '/qmp', () => require('node:worker_threads').parentPort.postMessage('listens'));
`;

/** A guest behind a QMP socket. */
export interface QmpGuest {
  readonly socket: string;
  /** The commands that were given, in order. */
  log(): string[];
  end(): Promise<void>;
}

/** What stands in the way of a plain reading. */
export interface QmpGuestSettings {
  /** Whether QEMU has the RAM in a file that it tells. */
  readonly backend: boolean;
  /** Where RAM goes on above the PCI hole; below is RAM up to `lowEnd`. */
  readonly lowEnd: number;
  readonly running: boolean;
  /** A command that QEMU refuses. */
  readonly refuses?: string;
}

/** The memory and the CPUs of a fixture as a guest that runs under QEMU in `folder`. */
export async function startQmpGuest(
  folder: string,
  name: string,
  core: Vmcore,
  { backend, lowEnd, running, refuses }: QmpGuestSettings,
): Promise<QmpGuest> {
  const hole = 2 ** 32;
  const end = core.segments.at(-1)?.end ?? 0;
  const blockSize = end > hole ? lowEnd + (end - hole) : end;
  const block = Buffer.alloc(blockSize);
  for (const segment of core.segments) {
    for (let at: number = segment.start; at < segment.end; at += PAGE_SIZE) {
      const page = core.memory.page(frameOf(gpa(at)));
      const to = at < hole ? at : at - hole + lowEnd;
      if (page !== undefined) block.set(new Uint8Array(Uint32Array.from(page).buffer), to);
    }
  }
  writeFileSync(join(folder, 'memory'), block);
  writeFileSync(join(folder, 'notes'), inflatedFixture(`${name}.elf.gz`));
  writeFileSync(join(folder, 'log'), '');
  const ranges = [
    [0, Math.min(end, lowEnd), 'ram', 'ram', 0],
    [0xfec0_0000, 0xfec0_1000, 'i/o', 'ioapic', 0],
    ...(end > hole ? [[hole, end, 'ram', 'ram', lowEnd]] : []),
  ];
  const properties = backend
    ? { '/objects/ram.mem-path': join(folder, 'memory'), '/objects/ram.share': true }
    : {};
  const worker = new Worker(SERVER, {
    eval: true,
    workerData: { folder, notes: join(folder, 'notes'), ranges, properties, refuses, running },
  });
  await new Promise((ready) => worker.once('message', ready));
  return {
    socket: join(folder, 'qmp'),
    log: () => readFileSync(join(folder, 'log'), 'utf8').split('\n').slice(0, -1),
    async end() {
      await worker.terminate();
    },
  };
}
