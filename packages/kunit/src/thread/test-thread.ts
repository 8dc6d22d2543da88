import type { KernelOutcome, LinuxEvent, LinuxKernel } from '@heki/linux';
import type { LinuxMachine } from '@heki/machine';
import {
  type Gfn,
  hex,
  PAGE_SIZE,
  type VirtualAddress,
  virtualAddressOf,
  virtualFrameOf,
} from '@heki/physical-memory';
import type { Outcome } from '@heki/vcpu';
import { CR4, EntryLow, entryFrame, entryIndex, isLeaf, type Level } from '@heki/x86';
import { callFunction } from '../execution/call-function.ts';
import { ThreadEnd } from '../framework/run-case.ts';
import type { FailedAccess } from '../framework/suite.ts';
import type { TestImage } from './test-image.ts';

/** A leaf of the kernel's page tables. */
interface PageTableEntry {
  /** In the direct map. */
  readonly address: VirtualAddress;
  readonly level: Level;
  readonly value: bigint;
}

/**
 * What the code of a test has: a thread of the kernel. Its accesses are instructions at CPL 0 on the kernel's virtual CPU; one that
 * does not complete ends the thread, as an oops does. Those whose names begin with `try` have an entry in the exception table: an
 * exception gives them back what it was. Nothing comes back from an access that is retried for ever, or from a dead machine.
 */
export interface TestThread {
  readonly kernel: LinuxKernel;
  readonly image: TestImage;
  /** The hypervisor has a driver in the kernel that found Heki, and answers KVM's hypercalls. */
  readonly kvmHypercalls: boolean;
  /** What the hypervisor answers a denied access with. */
  readonly denial: 'page-fault' | 'general-protection';

  readByte(address: VirtualAddress): number;
  readLong(address: VirtualAddress): bigint;
  writeByte(address: VirtualAddress, value: number): void;
  writeLong(address: VirtualAddress, value: bigint): void;
  tryWriteByte(address: VirtualAddress, value: number): FailedAccess | undefined;
  /** Calls a function with one argument. */
  call(target: VirtualAddress, argument: bigint): bigint;
  tryCall(target: VirtualAddress, argument: bigint): Outcome<bigint>;
  /** Jumps to an address and fetches there, as far as an instruction can be told from data. */
  tryFetch(address: VirtualAddress): FailedAccess | undefined;
  readCr4(): bigint;
  /** A raw MOV: not `cr4_clear_bits`, which keeps the pinned bits. */
  writeCr4(value: bigint): void;
  tryWriteCr4(value: bigint): FailedAccess | undefined;
  /** VMCALL with KVM's registers; the signed result. */
  hypercall(number: number, a0: bigint, a1?: bigint, a2?: bigint): number;

  /** The leaf over an address, found with loads through the direct map. */
  entry(address: VirtualAddress): PageTableEntry;
  /** Replaces it with a plain store, and drops what is cached of it: no function of the kernel is asked, and no hook is called. */
  setEntry(address: VirtualAddress, value: bigint): void;
  /** The frame that an address is mapped to. */
  frameOf(address: VirtualAddress): Gfn;
  /** Where the direct map has a frame. */
  direct(frame: Gfn): VirtualAddress;
  /** Has `listener` hear what the kernel does while `body` runs. */
  listen<Value>(listener: (event: LinuxEvent) => void, body: () => Value): Value;
  /** What a function of the kernel gave; its error when it gave one, 0 when it gave nothing. */
  errorOf(outcome: KernelOutcome<unknown>): number;
  /** The value of a function that must not fail here. */
  must<Value>(what: string, outcome: KernelOutcome<Value>): Value;
}

const STACK_PAGES = 4;
/** A thread of the kernel in `machine`, which has booted. @throws {ThreadEnd} when there is no memory for its stack */
export function createTestThread(options: {
  readonly machine: LinuxMachine;
  readonly image: TestImage;
  readonly kvmHypercalls: boolean;
  readonly denial: TestThread['denial'];
  /** Whoever hears of the kernel's events. */
  readonly listeners: Set<(event: LinuxEvent) => void>;
}): TestThread {
  const { machine, image, kvmHypercalls, denial, listeners } = options;
  const { kernel } = machine;
  const { vcpu } = kernel;
  const directMap = virtualAddressOf(kernel.layout.directMap);

  let stack = 0n as VirtualAddress;
  const end = (what: string, failed: FailedAccess): never => {
    throw new ThreadEnd(what, failed);
  };
  const hijacked = ({ address }: { readonly address: VirtualAddress }): never => {
    throw new ThreadEnd(`the kernel was led to ${hex(address)}`, 'error');
  };
  const completed = <Value>(what: string, outcome: Outcome<Value>): Value =>
    outcome.kind === 'done' ? outcome.value : end(what, outcome);
  /** An exception leads on through the exception table; whatever else goes wrong does not come back. */
  const fixedUp = <Value>(what: string, access: () => Outcome<Value>): Outcome<Value> => {
    const outcome = kernel.withFixups(access);
    return outcome.kind === 'done' || outcome.kind === 'exception' ? outcome : end(what, outcome);
  };
  const failure = (what: string, access: () => Outcome<unknown>): FailedAccess | undefined => {
    const result = fixedUp(what, access);
    return result.kind === 'done' ? undefined : result;
  };

  const thread: TestThread = {
    kernel,
    image,
    kvmHypercalls,
    denial,
    readByte: (at) => Number(completed(`the load at ${hex(at)}`, vcpu.load(at, 1))),
    readLong: (at) => completed(`the load at ${hex(at)}`, vcpu.load(at, 8)),
    writeByte(at, value) {
      completed(`the store to ${hex(at)}`, vcpu.store(at, 1, BigInt(value)));
    },
    writeLong(at, value) {
      completed(`the store to ${hex(at)}`, vcpu.store(at, 8, value));
    },
    tryWriteByte: (at, value) => failure(`the store to ${hex(at)}`, () => vcpu.store(at, 1, BigInt(value))),
    call: (target, argument) =>
      completed(`the call of ${hex(target)}`, callFunction(vcpu, { target, argument, stack })),
    tryCall: (target, argument) =>
      fixedUp(`the call of ${hex(target)}`, () => callFunction(vcpu, { target, argument, stack })),
    tryFetch: (at) => failure(`the fetch at ${hex(at)}`, () => vcpu.fetch(at)),
    readCr4: () => completed('the read of CR4', vcpu.movFromCr(4)),
    writeCr4(value) {
      completed(`the move of ${hex(value)} to CR4`, vcpu.movToCr(4, value));
    },
    tryWriteCr4: (value) => failure(`the move of ${hex(value)} to CR4`, () => vcpu.movToCr(4, value)),
    hypercall(number, a0, a1 = 0n, a2 = 0n) {
      const { registers } = vcpu;
      registers.rax = BigInt(number);
      registers.rbx = a0;
      registers.rcx = a1;
      registers.rdx = a2;
      completed(`hypercall ${number}`, vcpu.vmcall());
      return Number(BigInt.asIntN(64, registers.rax));
    },
    entry(at) {
      let table = BigInt.asUintN(52, vcpu.registers.cr3) & ~0xfffn;
      const root: Level = (thread.readCr4() & CR4.LA57) === 0n ? 4 : 5;
      for (let level: number = root; level >= 1; level--) {
        const index = entryIndex(virtualFrameOf(at), level);
        const place = (directMap + table + BigInt(8 * index)) as VirtualAddress;
        const value = thread.readLong(place);
        const low = Number(value & 0xffff_ffffn);
        const high = Number(value >> 32n);
        if ((low & EntryLow.P) === 0) break;
        if (isLeaf(low, level as Level)) return { address: place, level: level as Level, value };
        table = BigInt(entryFrame(low, high)) << 12n;
      }
      throw new ThreadEnd(`nothing is mapped at ${hex(at)}`, 'error');
    },
    setEntry(at, value) {
      thread.writeLong(thread.entry(at).address, value);
      completed(`INVLPG of ${hex(at)}`, vcpu.invlpg(at));
    },
    frameOf(at) {
      const { value, level } = thread.entry(at);
      const first = entryFrame(Number(value & 0xffff_ffffn), Number(value >> 32n));
      const pages = 512 ** (level - 1);
      return (first - (first % pages) + (virtualFrameOf(at) % pages)) as Gfn;
    },
    listen(listener, body) {
      listeners.add(listener);
      try {
        return body();
      } finally {
        listeners.delete(listener);
      }
    },
    direct: (frame) => (directMap + BigInt(frame) * BigInt(PAGE_SIZE)) as VirtualAddress,
    errorOf(outcome) {
      if (outcome.kind === 'oops')
        end(`the kernel's ${outcome.access} at ${hex(outcome.address)}`, outcome.outcome);
      if (outcome.kind === 'hijacked') return hijacked(outcome);
      return outcome.kind === 'error' ? outcome.errno : 0;
    },
    must(what, outcome) {
      if (outcome.kind === 'done') return outcome.value;
      if (outcome.kind === 'error') throw new ThreadEnd(`${what}: ${outcome.why}`, 'error');
      if (outcome.kind === 'hijacked') return hijacked(outcome);
      return end(`${what}: the ${outcome.access} at ${hex(outcome.address)}`, outcome.outcome);
    },
  };
  const { address, pages } = thread.must('no stack', kernel.vmalloc(STACK_PAGES));
  stack = (address + BigInt(pages * PAGE_SIZE - 16)) as VirtualAddress;
  return thread;
}
