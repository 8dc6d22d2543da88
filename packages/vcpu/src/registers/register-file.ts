import { createStateDigest, type StateDigest, type VirtualAddress } from '@heki/physical-memory';
import { CR0, type PagingRegisters } from '@heki/x86';
import { type DescriptorTable, GENERAL_REGISTERS, type Registers } from './registers.ts';

/** Registers after power-up and RESET (SDM 3A table 10-1), as far as they are modelled. */
const AFTER_RESET: PagingRegisters = {
  cr0: CR0.CD | CR0.NW | CR0.ET,
  cr3: 0n,
  cr4: 0n,
  efer: 0n,
  rflags: 2n,
  pkru: 0,
  pkrs: 0,
};
const FIRST_RIP = 0xffff_fff0n as VirtualAddress;

/** Paging registers and both lanes of their digest. They are replaced, never changed. */
interface DigestedPaging {
  readonly paging: PagingRegisters;
  readonly a: number;
  readonly b: number;
}

const PAGING = createStateDigest();

function digestPaging(paging: PagingRegisters): DigestedPaging {
  const { cr0, cr3, cr4, efer, rflags, pkru, pkrs } = paging;
  PAGING.reset();
  for (const value of [cr0, cr3, cr4, efer, rflags]) PAGING.addU64(value);
  PAGING.word(pkru);
  PAGING.word(pkrs);
  return { paging, a: PAGING.a, b: PAGING.b };
}

/**
 * The registers, with those that translation depends on kept as one immutable value, so that the page walk can
 * take them over as they are.
 */
export class RegisterFile implements Registers {
  rax = 0n;
  rcx = 0n;
  rdx = 0n;
  rbx = 0n;
  rsp = 0n;
  rbp = 0n;
  rsi = 0n;
  rdi = 0n;
  r8 = 0n;
  r9 = 0n;
  r10 = 0n;
  r11 = 0n;
  r12 = 0n;
  r13 = 0n;
  r14 = 0n;
  r15 = 0n;
  rip = FIRST_RIP;
  cr2 = 0n as VirtualAddress;
  codeSegment64 = false;
  gdtr: DescriptorTable = { base: 0n as VirtualAddress, limit: 0xffff };
  idtr: DescriptorTable | undefined;
  ldtr = 0;
  tr = 0;
  #paging = AFTER_RESET;
  #cpl: 0 | 3 = 0;
  /** Of the paging registers whose digest was asked for last. */
  #digested: DigestedPaging | undefined;
  readonly #onChanged: () => void;
  readonly #onAssigned: (cr0: bigint, cr4: bigint) => void;

  /**
   * `onChanged` is called after anything that translation depends on has changed; `onAssigned` after CR0, CR3, CR4 or
   * EFER was assigned from outside, with the bits of CR0 and CR4 that it changed.
   */
  constructor(onChanged: () => void, onAssigned: (cr0: bigint, cr4: bigint) => void) {
    this.#onChanged = onChanged;
    this.#onAssigned = onAssigned;
  }

  /** What translation depends on. */
  get paging(): PagingRegisters {
    return this.#paging;
  }

  set paging(paging: PagingRegisters) {
    this.#paging = paging;
    this.#onChanged();
  }

  get cpl(): 0 | 3 {
    return this.#cpl;
  }

  set cpl(cpl: 0 | 3) {
    this.#cpl = cpl;
    this.#onChanged();
  }

  get cr0(): bigint {
    return this.#paging.cr0;
  }

  set cr0(cr0: bigint) {
    const changed = cr0 ^ this.#paging.cr0;
    this.paging = { ...this.#paging, cr0 };
    this.#onAssigned(changed, 0n);
  }

  get cr3(): bigint {
    return this.#paging.cr3;
  }

  set cr3(cr3: bigint) {
    this.paging = { ...this.#paging, cr3 };
    this.#onAssigned(0n, 0n);
  }

  get cr4(): bigint {
    return this.#paging.cr4;
  }

  set cr4(cr4: bigint) {
    const changed = cr4 ^ this.#paging.cr4;
    this.paging = { ...this.#paging, cr4 };
    this.#onAssigned(0n, changed);
  }

  get efer(): bigint {
    return this.#paging.efer;
  }

  set efer(efer: bigint) {
    this.paging = { ...this.#paging, efer };
    this.#onAssigned(0n, 0n);
  }

  get rflags(): bigint {
    return this.#paging.rflags;
  }

  set rflags(rflags: bigint) {
    if (rflags !== this.#paging.rflags) this.paging = { ...this.#paging, rflags };
  }

  get pkru(): number {
    return this.#paging.pkru;
  }

  set pkru(pkru: number) {
    this.paging = { ...this.#paging, pkru };
  }

  get pkrs(): number {
    return this.#paging.pkrs;
  }

  set pkrs(pkrs: number) {
    this.paging = { ...this.#paging, pkrs };
  }

  /** What brings back the values of now. */
  checkpoint(): () => void {
    const { rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15 } = this;
    const { rip, cr2, codeSegment64, gdtr, idtr, ldtr, tr } = this;
    const [paging, cpl] = [this.#paging, this.#cpl];
    // One by one: a search comes back some ten thousand times a second, and Object.assign() takes ten times as long.
    return () => {
      this.rax = rax;
      this.rcx = rcx;
      this.rdx = rdx;
      this.rbx = rbx;
      this.rsp = rsp;
      this.rbp = rbp;
      this.rsi = rsi;
      this.rdi = rdi;
      this.r8 = r8;
      this.r9 = r9;
      this.r10 = r10;
      this.r11 = r11;
      this.r12 = r12;
      this.r13 = r13;
      this.r14 = r14;
      this.r15 = r15;
      this.rip = rip;
      this.cr2 = cr2;
      this.codeSegment64 = codeSegment64;
      this.gdtr = gdtr;
      this.idtr = idtr;
      this.ldtr = ldtr;
      this.tr = tr;
      this.#paging = paging;
      this.#cpl = cpl;
      this.#onChanged();
    };
  }

  /** Tells `digest` all of them. */
  digest(digest: StateDigest): void {
    if (this.#digested?.paging !== this.#paging) this.#digested = digestPaging(this.#paging);
    digest.word(this.#digested.a);
    digest.word(this.#digested.b);
    digest.word(this.#cpl);
    for (const name of GENERAL_REGISTERS) digest.addU64(this[name]);
    digest.addU64(this.rip);
    digest.addU64(this.cr2);
    digest.word(this.codeSegment64 ? 1 : 0);
    digest.addU64(this.gdtr.base);
    digest.add(this.gdtr.limit);
    digest.addU64(this.idtr?.base ?? 0n);
    digest.add(this.idtr?.limit ?? -1);
    digest.word(this.ldtr);
    digest.word(this.tr);
  }

  /** RESET; the processor's signature is left in EDX. */
  reset(signature: number): void {
    this.#restart(signature, AFTER_RESET);
  }

  /** INIT: as RESET, but for CR0.CD and NW and for what belongs to XSAVE or to MSRs, PKRU and PKRS, which stay. */
  init(signature: number): void {
    const { cr0, pkru, pkrs } = this.#paging;
    this.#restart(signature, {
      ...AFTER_RESET,
      cr0: (cr0 & (CR0.CD | CR0.NW)) | CR0.ET,
      pkru,
      pkrs,
    });
  }

  #restart(signature: number, paging: PagingRegisters): void {
    Object.assign(this, new RegisterFile(this.#onChanged, this.#onAssigned));
    this.rdx = BigInt(signature);
    this.paging = paging;
    this.cpl = 0;
  }
}
