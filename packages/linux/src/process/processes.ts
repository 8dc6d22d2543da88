import { Errno } from '@heki/hypercall/errno';
import {
  type Gfn,
  hex,
  PAGE_SIZE,
  type U64,
  type VirtualAddress,
  type VirtualFrame,
  virtualAddressOf,
  virtualFrameOf,
} from '@heki/physical-memory';
import { entryBits } from '@heki/x86';
import { directAddress } from '../layout/layout.ts';
import { allocateRoot } from '../mm/allocate-root.ts';
import { leafOf } from '../mm/leaf-entry.ts';
import { PageTables } from '../mm/page-tables.ts';
import { completed } from '../mm/vcpu-memory.ts';
import { attempt, fail, KernelStop } from '../outcome.ts';
import type { Process, ProcessState } from './process-state.ts';
import type { UserArea, UserProcess, UserProgram } from './user-process.ts';

/** Where x86-64 programs that are not position-independent are linked: 4 MiB. */
const TEXT_START = 0x400 as VirtualFrame;
/** PAGE_READONLY_EXEC, PAGE_SHARED. */
const EXECUTABLE = entryBits('P', 'US', 'A');
const WRITABLE = entryBits('P', 'RW', 'US', 'A', 'D', 'XD');
/** Bytes that a fetch takes: an instruction has no more. */
const FETCHED = 15;

/**
 * fork and execve: an address space with the pages of a program, into which the kernel has put code (by its direct map) and zeroes.
 *
 * @throws {KernelStop} -ENOMEM, with everything given back; or an access that does not complete
 */
export function startProcess(kernel: ProcessState, program: UserProgram): UserProcess {
  const process = createProcess(kernel, program);
  try {
    const { text, data, jit } = process.areas;
    mapPages(kernel, process, text, EXECUTABLE, codeOf);
    mapPages(kernel, process, data, WRITABLE, () => new Uint8Array(PAGE_SIZE));
    mapPages(kernel, process, jit, WRITABLE, () => new Uint8Array(PAGE_SIZE));
  } catch (stop) {
    if (stop instanceof KernelStop && stop.outcome.kind === 'error') release(kernel, process);
    throw stop;
  }
  kernel.processes.set(process.pid, process);
  return process;
}

/**
 * The process runs for a while, at CPL 3: it fetches from every page of its text, counts in every page of its data, and writes code, which it
 * makes executable (`mprotect`) and fetches.
 *
 * @throws {KernelStop} -ESRCH; -EFAULT when an access of the process does not complete, or it finds other bytes than its own: the process is killed, and the
 * kernel goes on; an access of the kernel that does not complete
 */
export function runProcess(kernel: ProcessState, pid: number): void {
  const process = processOf(kernel, pid);
  try {
    useEveryPage(kernel, process);
  } catch (stop) {
    if (stop instanceof KernelStop && stop.outcome.kind === 'error') endProcess(kernel, pid);
    throw stop;
  }
}

function useEveryPage(kernel: ProcessState, process: Process): void {
  const { text, data, jit } = process.areas;
  const { memory } = kernel;
  const run = ++process.runs;
  inUserMode(kernel, process, () => {
    for (const [page, address] of pagesOf(text))
      expectBytes(memory.fetch(address, FETCHED), codeOf(page), address);
    for (const [, address] of pagesOf(data)) {
      expectBytes(memory.load(address, 4), counter(run - 1), address);
      memory.store(address, counter(run));
    }
  });
  if (jit.pages === 0) return;
  protect(process, jit, WRITABLE);
  inUserMode(kernel, process, () => {
    for (const [page, address] of pagesOf(jit)) memory.store(address, codeOf(page + run));
  });
  protect(process, jit, EXECUTABLE);
  inUserMode(kernel, process, () => {
    for (const [page, address] of pagesOf(jit)) {
      expectBytes(memory.fetch(address, FETCHED), codeOf(page + run), address);
    }
  });
}

/** exit: its pages and its page tables go back to the page allocator. @throws {KernelStop} -ESRCH, or an access that does not complete */
export function endProcess(kernel: ProcessState, pid: number): void {
  const process = processOf(kernel, pid);
  kernel.processes.delete(pid);
  release(kernel, process);
}

function processOf({ processes }: ProcessState, pid: number): Process {
  return processes.get(pid) ?? fail(Errno.ESRCH, `no process ${pid}`);
}

function createProcess(kernel: ProcessState, { text, data, jit }: UserProgram): Process {
  const area = (start: number, pages: number): UserArea => ({
    address: virtualAddressOf(start as VirtualFrame),
    pages,
  });
  const tables = new PageTables({
    root: allocateRoot(kernel),
    levels: kernel.layout.levels,
    memory: () => kernel.memory,
    allocate: () => kernel.pages.allocate(),
    free: (frame: Gfn) => kernel.pages.free(frame),
  });
  return {
    pid: Math.max(0, ...kernel.processes.keys()) + 1,
    pageTableRoot: tables.root,
    areas: {
      text: area(TEXT_START, text),
      data: area(TEXT_START + text, data),
      jit: area(TEXT_START + text + data, jit),
    },
    tables,
    frames: [],
    runs: 0,
  };
}

/** Maps pages with new frames, which the kernel fills before. */
function mapPages(
  kernel: ProcessState,
  { tables, frames }: Process,
  area: UserArea,
  bits: U64,
  contents: (page: number) => Uint8Array,
): void {
  for (const [page, address] of pagesOf(area)) {
    const frame = kernel.pages.allocate() ?? fail(Errno.ENOMEM, 'no page for a process');
    frames.push(frame);
    kernel.memory.store(directAddress(kernel.layout, frame), contents(page));
    const { why } = tables.edit(() => tables.map(virtualFrameOf(address), 1, frame, bits, 1));
    if (why !== undefined) fail(Errno.ENOMEM, `no page tables for a process: ${why}`);
  }
}

/** `mprotect`. */
function protect({ tables, frames, areas }: Process, area: UserArea, bits: U64): void {
  const start = virtualFrameOf(area.address);
  const first = start - virtualFrameOf(areas.text.address);
  tables.edit(() => {
    for (let page = 0; page < area.pages; page++) {
      const entry = tables.lookup((start + page) as VirtualFrame);
      const frame = frames[first + page];
      if (entry === undefined || frame === undefined) continue;
      const { low, high } = leafOf(frame, bits);
      tables.setEntry(entry, low, high);
    }
    tables.flush(start, (start + area.pages) as VirtualFrame);
  });
}

function release(kernel: ProcessState, { tables, frames, areas }: Process): void {
  const start = virtualFrameOf(areas.text.address);
  tables.edit(() => tables.unmap(start, (start + frames.length) as VirtualFrame, false));
  for (const frame of frames.splice(0)) kernel.pages.free(frame);
  kernel.pages.free(tables.root);
}

/** Runs `body` as the process: on its page tables, at CPL 3. @throws {KernelStop} -EFAULT for what ends the process or keeps it from going on */
function inUserMode({ vcpu }: ProcessState, { pid, tables }: Process, body: () => void): void {
  const { registers } = vcpu;
  const { cr3, rip } = registers;
  completed(vcpu.movToCr(3, BigInt(tables.root) << 12n), 'instruction', rip);
  registers.cpl = 3;
  const outcome = (() => {
    try {
      return attempt(body);
    } finally {
      registers.cpl = 0;
      registers.rip = rip;
    }
  })();
  if (outcome.kind === 'oops' && outcome.outcome.kind === 'stopped') throw new KernelStop(outcome);
  // The new root drops what is cached of the old one: mappings of users are not global.
  completed(vcpu.movToCr(3, cr3), 'instruction', rip);
  if (outcome.kind === 'oops') {
    fail(
      Errno.EFAULT,
      `process ${pid}: its ${outcome.access} at ${hex(outcome.address)} ${faultText(outcome.outcome)}`,
    );
  }
  if (outcome.kind !== 'done') throw new KernelStop(outcome);
}

function faultText(outcome: Extract<KernelStop['outcome'], { kind: 'oops' }>['outcome']): string {
  if (outcome.kind === 'livelock') return 'faults again and again';
  if (outcome.kind !== 'exception') return `ends with ${outcome.kind}`;
  return `is its last: exception ${outcome.vector}, error code ${hex(outcome.errorCode)}`;
}

function* pagesOf({ address, pages }: UserArea): Generator<readonly [page: number, address: VirtualAddress]> {
  for (let page = 0; page < pages; page++) {
    yield [page, (address + BigInt(page * PAGE_SIZE)) as VirtualAddress];
  }
}

/** A page of code, which differs from that of other pages. */
function codeOf(page: number): Uint8Array {
  return new Uint8Array(PAGE_SIZE).fill(1 + (page % 0xff));
}

function counter(run: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(run).buffer);
}

/** @throws {KernelStop} when the process finds other bytes than its own */
function expectBytes(found: Uint8Array, expected: Uint8Array, address: VirtualAddress): void {
  if (found.some((byte, index) => byte !== expected[index])) {
    fail(Errno.EFAULT, `BUG: the page of a process at ${hex(address)} is not what it was`);
  }
}
