import type { StateDigest } from '@heki/physical-memory';
import type { HlatRoot } from '@heki/x86';

/**
 * What the hypervisor set up for a virtual CPU: the fields of a VMCS or VMCB that decide what exits. All may be
 * changed at any time between two instructions or during an exit.
 */
export interface VmControls {
  /** CR0 guest/host mask: bits that the host owns (SDM 3C 25.6.6). A write exits iff (source ^ shadow) & mask. */
  cr0Mask: bigint;
  /** CR0 read shadow: what the guest reads in the bits of the mask. */
  cr0Shadow: bigint;
  /** CR4 guest/host mask. */
  cr4Mask: bigint;
  /** CR4 read shadow. */
  cr4Shadow: bigint;
  /** MOV to CR3 exits. */
  cr3LoadExiting: boolean;
  /** LGDT, LIDT, LLDT and LTR exit. */
  descriptorTableExiting: boolean;
  /** MSRs whose RDMSR exits, or `all`. */
  readExitingMsrs: ReadonlySet<number> | 'all';
  /** MSRs whose WRMSR exits, or `all`. */
  writeExitingMsrs: ReadonlySet<number> | 'all';
  /** VMCALL or VMMCALL and the other instructions of VMX exit; without a hypervisor they are #UD. */
  hypercallExiting: boolean;
  /** VMFUNC is enabled; otherwise #UD. */
  vmfunc: boolean;
  /** EPT violations may become #VE. */
  virtualizationExceptions: boolean;
  /** Tag of this virtual CPU's cached translations. 0: every exit flushes them. */
  vpid: number;
  /** Root of HLAT paging, on a processor that has it. */
  hlat: HlatRoot | undefined;
  /**
   * SVM has no masks: which CR writes exit as a whole. `cr0Selective` exits on changes of bits other than TS and MP
   * (CR0_SEL_WRITE). `init`: INIT exits, which the hypervisor that delivers it looks at. `undefined` on VMX.
   */
  svm: { cr0Write: boolean; cr0Selective: boolean; cr4Write: boolean; init?: boolean } | undefined;
}

/** Controls of a processor without a hypervisor: nothing exits. */
export function defaultControls(): VmControls {
  return {
    cr0Mask: 0n,
    cr0Shadow: 0n,
    cr4Mask: 0n,
    cr4Shadow: 0n,
    cr3LoadExiting: false,
    descriptorTableExiting: false,
    readExitingMsrs: new Set(),
    writeExitingMsrs: new Set(),
    hypercallExiting: true,
    vmfunc: false,
    virtualizationExceptions: false,
    vpid: 1,
    hlat: undefined,
    svm: undefined,
  };
}

/** Controls that tell when one that translation depends on has changed. */
export class Controls implements VmControls {
  cr0Mask: bigint;
  cr0Shadow: bigint;
  cr4Mask: bigint;
  cr4Shadow: bigint;
  cr3LoadExiting: boolean;
  descriptorTableExiting: boolean;
  readExitingMsrs: ReadonlySet<number> | 'all';
  writeExitingMsrs: ReadonlySet<number> | 'all';
  hypercallExiting: boolean;
  vmfunc: boolean;
  virtualizationExceptions: boolean;
  svm: VmControls['svm'];
  #vpid: number;
  #hlat: HlatRoot | undefined;
  readonly #onChanged: () => void;

  constructor(initial: VmControls, onChanged: () => void) {
    this.#onChanged = onChanged;
    this.cr0Mask = initial.cr0Mask;
    this.cr0Shadow = initial.cr0Shadow;
    this.cr4Mask = initial.cr4Mask;
    this.cr4Shadow = initial.cr4Shadow;
    this.cr3LoadExiting = initial.cr3LoadExiting;
    this.descriptorTableExiting = initial.descriptorTableExiting;
    this.readExitingMsrs = initial.readExitingMsrs;
    this.writeExitingMsrs = initial.writeExitingMsrs;
    this.hypercallExiting = initial.hypercallExiting;
    this.vmfunc = initial.vmfunc;
    this.virtualizationExceptions = initial.virtualizationExceptions;
    this.svm = initial.svm;
    this.#vpid = initial.vpid;
    this.#hlat = initial.hlat;
  }

  /** CR0 or CR4 were set from outside: what the guest reads follows them in the bits that changed (vmx_set_cr0, vmx_set_cr4). */
  follow(now: { readonly cr0: bigint; readonly cr4: bigint }, cr0: bigint, cr4: bigint): void {
    this.cr0Shadow = (this.cr0Shadow & ~cr0) | (now.cr0 & cr0);
    this.cr4Shadow = (this.cr4Shadow & ~cr4) | (now.cr4 & cr4);
  }

  /** What brings back the values of now. */
  checkpoint(): () => void {
    const { cr0Mask, cr0Shadow, cr4Mask, cr4Shadow, cr3LoadExiting, descriptorTableExiting } = this;
    const { readExitingMsrs, writeExitingMsrs, hypercallExiting, vmfunc, virtualizationExceptions, svm } =
      this;
    const [vpid, hlat] = [this.#vpid, this.#hlat];
    return () => {
      this.cr0Mask = cr0Mask;
      this.cr0Shadow = cr0Shadow;
      this.cr4Mask = cr4Mask;
      this.cr4Shadow = cr4Shadow;
      this.cr3LoadExiting = cr3LoadExiting;
      this.descriptorTableExiting = descriptorTableExiting;
      this.readExitingMsrs = readExitingMsrs;
      this.writeExitingMsrs = writeExitingMsrs;
      this.hypercallExiting = hypercallExiting;
      this.vmfunc = vmfunc;
      this.virtualizationExceptions = virtualizationExceptions;
      this.svm = svm;
      if (this.#vpid !== vpid) this.vpid = vpid;
      if (this.#hlat !== hlat) this.hlat = hlat;
    };
  }

  /** Tells `digest` all of them. */
  digest(digest: StateDigest): void {
    digest.addU64(this.cr0Mask);
    digest.addU64(this.cr0Shadow);
    digest.addU64(this.cr4Mask);
    digest.addU64(this.cr4Shadow);
    digest.word(this.#vpid);
    const { svm } = this;
    digest.word(
      (this.cr3LoadExiting ? 1 : 0) |
        (this.descriptorTableExiting ? 2 : 0) |
        (this.hypercallExiting ? 4 : 0) |
        (this.vmfunc ? 8 : 0) |
        (this.virtualizationExceptions ? 16 : 0) |
        (svm?.cr0Write === true ? 32 : 0) |
        (svm?.cr0Selective === true ? 64 : 0) |
        (svm?.cr4Write === true ? 128 : 0) |
        (svm?.init === true ? 256 : 0),
    );
    digestMsrs(this.readExitingMsrs, digest);
    digestMsrs(this.writeExitingMsrs, digest);
    if (this.#hlat !== undefined)
      digest.addText(
        JSON.stringify(this.#hlat, (_, value) => (typeof value === 'bigint' ? `${value}` : value)),
      );
  }

  get vpid(): number {
    return this.#vpid;
  }

  set vpid(vpid: number) {
    this.#vpid = vpid;
    this.#onChanged();
  }

  get hlat(): HlatRoot | undefined {
    return this.#hlat;
  }

  set hlat(hlat: HlatRoot | undefined) {
    this.#hlat = hlat;
    this.#onChanged();
  }
}

function digestMsrs(msrs: ReadonlySet<number> | 'all', digest: StateDigest): void {
  if (msrs === 'all') {
    digest.word(-1);
    return;
  }
  digest.word(msrs.size);
  if (msrs.size > 0) for (const msr of [...msrs].sort((a, b) => a - b)) digest.add(msr);
}
