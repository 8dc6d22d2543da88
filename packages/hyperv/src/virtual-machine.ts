import type { VirtualMachine } from '@heki/hypervisor';
import type { Vcpu } from '@heki/vcpu';
import type { TrustedKexecImage, TrustedModule } from './secure-kernel/trusted-code.ts';
import type { HypervStatistics } from './statistics.ts';

/** The secure kernel in VTL1, as its owner sees it. */
export interface SecureKernelFace {
  /** VTL0 may load this module. In the real one a signature says so. */
  trustModule(module: TrustedModule): void;
  /** VTL0 may kexec into this image. */
  trustKexecImage(image: TrustedKexecImage): void;
  /** VTL0 said that its boot is over: its requests for protection are refused. */
  readonly endOfBoot: boolean;
}

/** A partition of Hyper-V with VTL0 and VTL1: the contract, and what runs in VTL1. *Unjudged* beside its hypercalls. */
export interface HypervVirtualMachine extends VirtualMachine {
  readonly checkpoint: NonNullable<VirtualMachine['checkpoint']>;
  readonly digest: NonNullable<VirtualMachine['digest']>;
  readonly secureKernel: SecureKernelFace;
  /**
   * A hypercall by VTL1 on the processor `vcpu`: the control word and the bytes of the input page. Gives the result value (RAX) and the output.
   * VTL1 can undo what it promised to VTL0: the hypervisor obeys it.
   */
  vtl1Hypercall(
    vcpu: Vcpu,
    control: bigint,
    input: Uint8Array,
  ): { readonly result: bigint; readonly output: Uint8Array };
  /** The VTL that a virtual processor is in; 0 whenever its instructions run. */
  activeVtl(vcpu: Vcpu): 0 | 1;
  /** What has happened so far. */
  readonly statistics: Readonly<HypervStatistics>;
  /** Pages of second-level tables of both VTLs. */
  readonly tablePages: number;
}
