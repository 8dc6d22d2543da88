import type { Gfn, VirtualAddress } from '@heki/physical-memory';
import { addressOf, hex, virtualFrameOf } from '@heki/physical-memory';
import type { Outcome } from '@heki/vcpu';
import {
  addressHigh,
  CR4,
  cr3Root,
  EntryHigh,
  EntryLow,
  entryFrame,
  entryIndex,
  isLeaf,
  type Level,
} from '@heki/x86';
import { MachineError } from '../error.ts';
import { MACHINE_LIMITS } from '../limits.ts';
import { type AskedRights, type AskHypervisor, permissionsAsked } from './ask.ts';
import type { AttackStep } from './attack-result.ts';
import { type Deed, recordStep, type Witness } from './attack-step.ts';
import { type OnBreakpoint, type RanCode, runCode } from './run-code.ts';

/** An entry of the guest's page tables, as the attacker found it. */
export interface FoundEntry {
  readonly level: Level;
  /** Where the kernel can load and store it: in the direct map. */
  readonly address: VirtualAddress;
  readonly value: bigint;
}

/** The outcome of one instruction. */
export interface Attempt<Value = undefined> {
  readonly step: AttackStep;
  /** The result, when it completed. */
  readonly value: Value | undefined;
}

/**
 * Somebody who got hold of the kernel: every instruction at CPL 0, and nothing else. He knows where the direct map is, as an
 * attacker with a read primitive does; he sees no hypervisor state and no profile.
 */
export interface Attacker {
  readonly steps: readonly AttackStep[];
  load(va: VirtualAddress, bytes: 1 | 8): Attempt<bigint>;
  store(va: VirtualAddress, bytes: 1 | 8, value: bigint): Attempt;
  /** Jumps there. */
  execute(va: VirtualAddress): Attempt;
  /** Calls what lies there, up to its RET: what ran, and what it did to RAX. */
  run(va: VirtualAddress): Attempt<RanCode>;
  readCr(cr: 0 | 3 | 4): Attempt<bigint>;
  writeCr(cr: 0 | 3 | 4, value: bigint): Attempt;
  readMsr(msr: number): Attempt<bigint>;
  writeMsr(msr: number, value: bigint): Attempt;
  /** LGDT or LIDT of a table at `base`, with a limit of a page. */
  loadTable(table: 'gdtr' | 'idtr', base: VirtualAddress): Attempt;
  /** What `body` does, as a user program (CPL 3), to which the kernel returns and from which it takes over again. */
  asUser<Value>(body: () => Value): Value;
  flush(va: VirtualAddress): Attempt;
  /**
   * The entries that translate `va`, root first, found as a processor finds them, but with loads through the
   * direct map. `undefined` when the walk ends at an entry that is not present or has no contents, or when a load fails: the last of
   * {@link steps} then.
   */
  findEntries(va: VirtualAddress): readonly FoundEntry[] | undefined;
  /** The frame behind `va`, as {@link findEntries} has it. */
  frameOf(va: VirtualAddress): Gfn | undefined;
  /**
   * Asks the hypervisor for rights of `pages` guest frames from `frame` on, through the kernel's own driver: a VMCALL with a page list.
   * Its value is the answer, 0 or a negative error number; where the kernel has no driver nothing is asked, and there is none.
   */
  ask(frame: Gfn, pages: number, rights: AskedRights): Attempt<bigint>;
}

const OTHER: Deed = { kind: 'other' };

/**
 * An attacker on `vcpu`. The rest of the witness is for the records of what happened alone. The attempt that would be one more than
 * `MACHINE_LIMITS.attackInstructions` throws a {@link MachineError}, and is not made.
 */
export function createAttacker(
  witness: Witness & {
    readonly directMap: VirtualAddress | undefined;
    readonly askHypervisor: AskHypervisor;
    /** The handler of the kernel that is attacked. Default: no INT3 is gone on from. */
    readonly onBreakpoint?: OnBreakpoint;
    /** What it is called where it has no end. Default: the attacker. */
    readonly called?: string;
    /** What the records tell of the bytes at an address. Default: nothing. */
    readonly bytesAt?: (va: VirtualAddress) => Uint8Array | undefined;
  },
): Attacker {
  const { vcpu, directMap, askHypervisor, onBreakpoint, called = 'the attacker', bytesAt } = witness;
  const steps: AttackStep[] = [];

  function attempt<Value>(text: string, deed: Deed, instruction: () => Outcome<Value>): Attempt<Value> {
    const most = MACHINE_LIMITS.attackInstructions;
    if (steps.length === most)
      throw new MachineError(`${called} goes on after ${most} instructions: expected its end`);
    const before = deed.kind === 'access' ? bytesAt?.(deed.va) : undefined;
    const { step: bare, outcome } = recordStep(witness, text, deed, instruction);
    const after = deed.kind === 'access' && before !== undefined ? bytesAt?.(deed.va) : undefined;
    const step =
      deed.kind === 'access' && before !== undefined && after !== undefined
        ? { ...bare, bytes: { address: deed.va, access: deed.access.kind, before, after } }
        : bare;
    steps.push(step);
    return { step, value: outcome.kind === 'done' ? outcome.value : undefined };
  }
  const access = (va: VirtualAddress, kind: 'read' | 'write' | 'fetch'): Deed => ({
    kind: 'access',
    va,
    access: { kind, mode: vcpu.registers.cpl === 3 ? 'user' : 'supervisor' },
  });

  return {
    steps,
    load: (va, bytes) =>
      attempt(`load ${bytes} bytes at ${hex(va)}`, access(va, 'read'), () => vcpu.load(va, bytes)),
    store: (va, bytes, value) =>
      attempt(`store ${hex(value)} to ${hex(va)}`, access(va, 'write'), () => vcpu.store(va, bytes, value)),
    execute(va) {
      const { step } = attempt(`execute at ${hex(va)}`, access(va, 'fetch'), () => vcpu.fetch(va));
      return { step, value: undefined };
    },
    run: (va) => attempt(`call ${hex(va)}`, access(va, 'fetch'), () => runCode(vcpu, va, onBreakpoint)),
    readCr: (cr) => attempt(`mov from cr${cr}`, OTHER, () => vcpu.movFromCr(cr)),
    writeCr: (cr, value) =>
      attempt(`mov ${hex(value)} to cr${cr}`, { kind: 'write-cr', cr, value }, () => vcpu.movToCr(cr, value)),
    readMsr: (msr) => attempt(`rdmsr ${hex(msr)}`, OTHER, () => vcpu.rdmsr(msr)),
    writeMsr: (msr, value) =>
      attempt(`wrmsr ${hex(msr)}, ${hex(value)}`, OTHER, () => vcpu.wrmsr(msr, value)),
    loadTable: (table, base) =>
      attempt(`${table === 'gdtr' ? 'lgdt' : 'lidt'} ${hex(base)}`, OTHER, () =>
        table === 'gdtr' ? vcpu.lgdt(base, 0xfff) : vcpu.lidt(base, 0xfff),
      ),
    asUser(body) {
      const { registers } = vcpu;
      registers.cpl = 3;
      try {
        return body();
      } finally {
        registers.cpl = 0;
      }
    },
    flush: (va) => attempt(`invlpg ${hex(va)}`, OTHER, () => vcpu.invlpg(va)),
    findEntries(va) {
      const root = this.readCr(3).value;
      const cr4 = this.readCr(4).value;
      if (root === undefined || cr4 === undefined || directMap === undefined) return undefined;
      const entries: FoundEntry[] = [];
      let table = BigInt(cr3Root(root, vcpu.processor));
      for (let level = (cr4 & CR4.LA57) !== 0n ? 5 : 4; level >= 1; level--) {
        const index = entryIndex(virtualFrameOf(va), level);
        // What an attacker reads may be not a table: the sum wraps, as in his registers.
        const address = BigInt.asUintN(64, directMap + table + BigInt(8 * index)) as VirtualAddress;
        const { step, value } = this.load(address, 8);
        if (value === undefined || step.contentsAbsent || step.withoutMemory) return undefined;
        const low = Number(value & 0xffff_ffffn);
        const high = Number(value >> 32n);
        if ((low & EntryLow.P) === 0) return undefined;
        entries.push({ level: level as Level, address, value });
        if (isLeaf(low, level as Level)) break;
        table = BigInt(addressOf(entryFrame(low, high, addressHigh(vcpu.processor.encryptionBit))));
      }
      return entries;
    },
    frameOf(va) {
      const leaf = this.findEntries(va)?.at(-1);
      if (leaf === undefined) return undefined;
      const high = Number(leaf.value >> 32n);
      const first = entryFrame(
        Number(leaf.value & 0xffff_ffffn),
        high,
        addressHigh(vcpu.processor.encryptionBit),
      );
      const frames = 512 ** (leaf.level - 1);
      return (first - (first % frames) + (virtualFrameOf(va) % frames)) as Gfn;
    },
    ask(frame, pages, rights) {
      const range = {
        start: frame,
        end: (frame + pages) as Gfn,
        permissions: permissionsAsked(rights, false),
      };
      const text = `vmcall: guest frames ${hex(range.start)}-${hex(range.end - 1)} ${rights}`;
      let answer: number | undefined;
      const { step } = attempt(text, OTHER, () => {
        answer = askHypervisor(range);
        return { kind: 'done', value: undefined };
      });
      return { step, value: answer === undefined ? undefined : BigInt(answer) };
    },
  };
}

/** The bit that lets a page be written, in an entry of any level. */
export const WRITABLE = BigInt(EntryLow.RW);
/** The bit that forbids execution, in an entry of any level. */
export const EXECUTE_DISABLE = BigInt(EntryHigh.XD >>> 0) << 32n;
