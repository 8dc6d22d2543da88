import type { Hpa, Pfn, PhysicalMemory, VirtualAddress, VirtualFrame } from '@heki/physical-memory';
import type { SecondLevel } from '@heki/second-level';
import {
  type Access,
  type AccessKind,
  accessBits,
  applyUpdates,
  type CpuProfile,
  createPageWalker,
  type PagingRegisters,
  RFLAGS,
  translate,
  WalkOutcome,
} from '@heki/x86';

/** One line of `two-stage/*.cases` or `npt/*.cases`. */
export interface TwoStageCase {
  readonly id: string;
  readonly la: VirtualAddress;
  readonly access: Access;
  readonly registers: PagingRegisters;
  readonly maxPhysicalAddressBits: number;
  readonly gigabytePages: boolean;
  /** The EPTP, when EPT is on. */
  readonly eptp: bigint | undefined;
  readonly modeBasedExecute: boolean;
  readonly advancedViolationInfo: boolean;
  readonly executeOnly: boolean;
  /** The nested CR3, when nested paging is on. */
  readonly ncr3: bigint | undefined;
  /** Physical memory that is not 0. */
  readonly memory: readonly (readonly [address: number, value: bigint])[];
}

const KINDS: Readonly<Record<string, AccessKind>> = {
  r: 'read',
  w: 'write',
  x: 'fetch',
  rw: 'read-modify-write',
};

/** @throws {Error} naming the part of the line that cannot be read */
export function parseTwoStageCase(line: string): TwoStageCase {
  const values = new Map<string, string>();
  const memory: [number, bigint][] = [];
  for (const part of line.trim().split(/\s+/)) {
    const equals = part.indexOf('=');
    const key = part.slice(0, equals);
    const value = part.slice(equals + 1);
    if (key === 'm') {
      const [address, quadword] = value.split(':');
      memory.push([Number(`0x${address}`), BigInt(`0x${quadword}`)]);
    } else values.set(key, value);
  }
  const hex = (key: string, value: string): bigint => BigInt(`0x${values.get(key) ?? value}`);
  const flag = (key: string, value: string): boolean => (values.get(key) ?? value) === '1';
  const kind = KINDS[values.get('rw') ?? ''];
  if (kind === undefined) throw new Error(`rw=${values.get('rw')}: expected r, w, x or rw`);
  return {
    id: values.get('id') ?? '',
    la: hex('la', '') as VirtualAddress,
    access: { kind, mode: flag('user', '0') ? 'user' : 'supervisor' },
    registers: {
      cr0: hex('cr0', '80010031'),
      cr3: hex('cr3', '0'),
      cr4: hex('cr4', '20'),
      efer: hex('efer', 'd01'),
      rflags: flag('ac', '0') ? RFLAGS.AC : 0n,
      pkru: Number(hex('pkru', '0')),
      pkrs: Number(hex('pkrs', '0')),
    },
    maxPhysicalAddressBits: Number(values.get('maxphy') ?? '40'),
    gigabytePages: flag('1g', '1'),
    eptp: flag('ept', '0') ? hex('eptp', '') : undefined,
    modeBasedExecute: flag('mbe', '0'),
    advancedViolationInfo: flag('adv', '1'),
    executeOnly: flag('execonly', '1'),
    ncr3: flag('npt', '0') ? hex('ncr3', '') : undefined,
    memory,
  };
}

/** Pages of cases that are over, all 0 again: a case has a dozen, and to make them anew took longer than its walks. */
const spare: Uint32Array[] = [];

const takePage = (): Uint32Array => spare.pop() ?? new Uint32Array(1024);

/** Memory that reads 0 where a case gives nothing, and knows which quadwords changed. */
export class CaseMemory implements PhysicalMemory<Pfn> {
  readonly #pages = new Map<number, Uint32Array>();
  /** Pages asked for writing, as they were before. */
  readonly #before = new Map<number, Uint32Array>();

  constructor(given: TwoStageCase['memory']) {
    for (const [address, value] of given) {
      const page = this.#pageAt(Math.floor(address / 4096));
      const word = (address % 4096) / 4;
      page[word] = Number(value & 0xffff_ffffn);
      page[word + 1] = Number(value >> 32n);
    }
  }

  page(frame: Pfn): Uint32Array {
    return this.#pages.get(frame) ?? ZERO_PAGE;
  }

  writablePage(frame: Pfn): Uint32Array {
    const page = this.#pageAt(frame);
    if (!this.#before.has(frame)) {
      const before = takePage();
      before.set(page);
      this.#before.set(frame, before);
    }
    return page;
  }

  /** Changed quadwords as the answers write them, sorted: `w=101608:102607`. */
  changes(): string[] {
    const found: string[] = [];
    for (const [frame, before] of this.#before) {
      const page = this.page(frame as Pfn);
      for (let word = 0; word < 1024; word += 2) {
        if (page[word] === before[word] && page[word + 1] === before[word + 1]) continue;
        const value = (BigInt(page[word + 1] ?? 0) << 32n) | BigInt(page[word] ?? 0);
        found.push(`w=${(frame * 4096 + word * 4).toString(16)}:${value.toString(16)}`);
      }
    }
    return found.sort();
  }

  /** Gives the pages to the next case. */
  free(): void {
    for (const pages of [this.#pages, this.#before]) {
      for (const page of pages.values()) spare.push(page.fill(0));
      pages.clear();
    }
  }

  #pageAt(frame: number): Uint32Array {
    let page = this.#pages.get(frame);
    if (page === undefined) {
      page = takePage();
      this.#pages.set(frame, page);
    }
    return page;
  }
}

const ZERO_PAGE = new Uint32Array(1024);

/** An answer line with its `w=` parts sorted and only the last value of each address kept. */
export function normalizeAnswer(line: string): string {
  const parts = line.trim().split(/\s+/);
  const writes = new Map<string, string>();
  for (const part of parts) if (part.startsWith('w=')) writes.set(part.slice(2, part.indexOf(':')), part);
  return [...parts.filter((part) => !part.startsWith('w=')), ...[...writes.values()].sort()].join(' ');
}

/** What a case runs against. */
export interface TwoStageModel<Fault> {
  readonly processor: CpuProfile;
  /** The second level over the memory of a case; `undefined` where the case has none. */
  readonly secondLevel: ((memory: CaseMemory) => SecondLevel<Fault>) | undefined;
  /** A refusal as the answers write it. */
  readonly describeFault: (fault: Fault) => string;
}

/** The answer of the readable walk. */
export function answerOfTranslate<Fault>(vector: TwoStageCase, model: TwoStageModel<Fault>): string {
  const { id, la, access, registers } = vector;
  const memory = new CaseMemory(vector.memory);
  const secondLevel = model.secondLevel?.(memory);
  const { outcome, updates } = translate(registers, memory, la, access, model.processor, secondLevel);
  applyUpdates(memory, updates);
  let text: string;
  if (outcome.kind === 'mapped') text = ok(outcome.hpa ?? (outcome.gpa as number as Hpa));
  else if (outcome.kind === 'page-fault') text = pageFault(outcome.errorCode, outcome.address);
  else if (outcome.kind === 'second-level') text = model.describeFault(outcome.fault);
  else text = outcome.kind;
  const answer = [id, text, ...memory.changes()].join(' ');
  memory.free();
  return answer;
}

/** The answer of the fast walk. */
export function answerOfWalker<Fault>(vector: TwoStageCase, model: TwoStageModel<Fault>): string {
  const { id, la, access, registers } = vector;
  const memory = new CaseMemory(vector.memory);
  const secondLevel = model.secondLevel?.(memory);
  const { processor } = model;
  const walker = createPageWalker(
    secondLevel === undefined
      ? { memory, registers, processor }
      : { memory, registers, processor, secondLevel },
  );
  const offset = Number(la & 0xfffn);
  const outcome = walker.walk(Number(la >> 12n) as VirtualFrame, offset, accessBits(access));
  let text: string;
  if (outcome === WalkOutcome.MAPPED) text = ok((walker.frame * 4096 + offset) as Hpa);
  else if (outcome === WalkOutcome.PAGE_FAULT) text = pageFault(walker.errorCode, la);
  else if (outcome === WalkOutcome.SECOND_LEVEL) text = model.describeFault(secondLevel?.fault as Fault);
  else text = `outcome ${outcome}`;
  const answer = [id, text, ...memory.changes()].join(' ');
  memory.free();
  return answer;
}

function ok(address: Hpa): string {
  return `ok hpa=${address.toString(16)}`;
}

function pageFault(errorCode: number, address: VirtualAddress): string {
  return `pf err=${errorCode.toString(16)} cr2=${address.toString(16)}`;
}
