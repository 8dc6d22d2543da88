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
    const values: VmControls = { ...this, vpid: this.#vpid, hlat: this.#hlat };
    return () => {
      Object.assign(this, values);
    };
  }

  /** Tells `digest` all of them. */
  digest(digest: StateDigest): void {
    for (const value of [this.cr0Mask, this.cr0Shadow, this.cr4Mask, this.cr4Shadow]) digest.addU64(value);
    digest.word(this.#vpid);
    const switches = [
      this.cr3LoadExiting,
      this.descriptorTableExiting,
      this.hypercallExiting,
      this.vmfunc,
      this.virtualizationExceptions,
      this.svm?.cr0Write,
      this.svm?.cr0Selective,
      this.svm?.cr4Write,
      this.svm?.init,
    ];
    for (const on of switches) digest.word(on === true ? 1 : 0);
    for (const msrs of [this.readExitingMsrs, this.writeExitingMsrs]) {
      if (msrs === 'all') digest.word(1);
      else for (const msr of [...msrs].sort((a, b) => a - b)) digest.add(msr);
    }
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
