import {
  encodeHvControl,
  encodeHvModifyProtection,
  encodeHvSetRegisters,
  encodeLvbsRanges,
  encodeLvbsTextPatch,
  HV_PARTITION_SELF,
  HV_VP_SELF,
  HvCall,
  HvCrIntercept,
  HvRegister,
  LvbsFunction,
  type LvbsRange,
  LvbsSection,
} from '@heki/hypercall/hyperv';
import type { GuestPlaces, LifeStep } from '@heki/hypervisor/conformance';
import type { Gfn, Gpa } from '@heki/physical-memory';
import type { Vcpu } from '@heki/vcpu';
import type { TrustedModule } from '../secure-kernel/trusted-code.ts';
import type { HypervVirtualMachine } from '../virtual-machine.ts';
import { vtlCall } from './vtl-call.ts';

const TEXT = 0x50_0000;
const KERNEL_TEXT = 0x60_0000;
const IMAGE = 0x70_0000;
const JUMP = Uint8Array.of(0xe9, 1, 2, 3, 4);
const NOP = Uint8Array.of(0x0f, 0x1f, 0x44, 0x00, 0x00);
/** Text with two sites, one of which straddles its pages; rodata and init text. */
const MODULE: TrustedModule = {
  name: 'good',
  sections: [
    {
      kind: LvbsSection.TEXT,
      bytes: new Uint8Array(0x1800).fill(0x90),
      sites: [],
      patches: [
        { offset: 0x20, bytes: JUMP },
        { offset: 0xffe, bytes: JUMP },
      ],
    },
    { kind: LvbsSection.RODATA, bytes: new Uint8Array(0x100).fill(2), sites: [] },
    { kind: LvbsSection.INIT_TEXT, bytes: new Uint8Array(0x80).fill(3), sites: [] },
  ],
};
const PARTS = [
  [TEXT, TEXT + 0x2000, LvbsSection.TEXT],
  [TEXT + 0x2000, TEXT + 0x3000, LvbsSection.RODATA],
  [TEXT + 0x3000, TEXT + 0x4000, LvbsSection.RO_AFTER_INIT],
  [TEXT + 0x4000, TEXT + 0x5000, LvbsSection.INIT_TEXT],
] as const;
const IMAGE_BYTES = new Uint8Array(0x1000).fill(7);

/** What can happen to a partition beside what can on any backend: modules, patches, kernels to hand over to, and VTL1's own calls. */
export function hypervLives({
  vm,
  memory,
  backing,
  scratch,
}: GuestPlaces<HypervVirtualMachine>): readonly LifeStep[] {
  const step = (name: string, run: LifeStep['run']): LifeStep => ({ name, run });
  const guest = {
    page: (gfn: Gfn) => memory.page((backing + gfn) as typeof backing),
    writablePage: (gfn: Gfn) => memory.writablePage((backing + gfn) as typeof backing),
  };
  const put = (gpa: number, bytes: Uint8Array): void => {
    vm.write('vmm', gpa as Gpa, bytes);
  };
  const withList = (
    vcpu: Vcpu,
    fn: number,
    ranges: readonly (readonly [number, number, number])[],
  ): string => {
    const list = ranges.map(
      ([pa, epa, attributes]): LvbsRange => ({ va: 0n, pa: pa as Gpa, epa: epa as Gpa, attributes }),
    );
    const first = encodeLvbsRanges({
      memory: guest,
      frames: [scratch as Gfn, (scratch + 1) as Gfn],
      ranges: list,
    });
    return String(vtlCall(vcpu, fn, BigInt(first ?? 0), BigInt(list.length)));
  };
  const vtl1 = (vcpu: Vcpu, code: number, repCount: number, input: Uint8Array): string =>
    String(vm.vtl1Hypercall(vcpu, encodeHvControl({ code, repCount }), input).result);
  const setOwn = (vcpu: Vcpu, name: number, value: bigint): string =>
    vtl1(
      vcpu,
      HvCall.SET_VP_REGISTERS,
      1,
      encodeHvSetRegisters({
        partition: HV_PARTITION_SELF,
        vp: HV_VP_SELF,
        vtl: 1,
        values: [{ name, value }],
      }),
    );
  const token = (below: (count: number) => number): bigint => BigInt(1 + below(3));
  return [
    step('a module that is trusted', (_vcpu, below) => {
      if (below(3) === 0) vm.secureKernel.trustModule(MODULE);
      return 'done';
    }),
    step('a module in place', () => {
      for (const { kind, bytes } of MODULE.sections)
        put(PARTS.find((part) => part[2] === kind)?.[0] ?? 0, bytes);
      return 'done';
    }),
    ...['now', 'again'].map((when) =>
      step(`a module validated ${when}`, (vcpu) => withList(vcpu, LvbsFunction.VALIDATE_MODULE, PARTS)),
    ),
    step('init freed', (vcpu, below) => String(vtlCall(vcpu, LvbsFunction.FREE_MODULE_INIT, token(below)))),
    step('unload', (vcpu, below) => String(vtlCall(vcpu, LvbsFunction.UNLOAD_MODULE, token(below)))),
    step('patches of the kernel', (vcpu) => {
      const table = encodeLvbsTextPatch({ pa: (KERNEL_TEXT + 8) as Gpa, secondPa: 0 as Gpa, bytes: JUMP });
      put((scratch + 3) * 4096, table);
      return withList(vcpu, LvbsFunction.LOAD_KDATA, [
        [(scratch + 3) * 4096, (scratch + 3) * 4096 + table.length, LvbsSection.PATCHES],
      ]);
    }),
    step('a poke', (vcpu, below) => {
      const site = [TEXT + 0x20, KERNEL_TEXT + 8][below(2)] ?? TEXT;
      const whole = below(2) === 0 ? JUMP : NOP;
      return [Uint8Array.of(0xcc), whole.subarray(1), whole.subarray(0, 1)]
        .map((bytes) => {
          const pa = (bytes.length === 4 ? site + 1 : site) as Gpa;
          put((scratch + 4) * 4096, encodeLvbsTextPatch({ pa, secondPa: 0 as Gpa, bytes }));
          return vtlCall(vcpu, LvbsFunction.PATCH_TEXT, BigInt((scratch + 4) * 4096));
        })
        .join();
    }),
    step('a kernel to hand over to', (vcpu, below) => {
      if (below(2) === 0) vm.secureKernel.trustKexecImage({ name: 'next', bytes: IMAGE_BYTES });
      if (below(2) === 0) put(IMAGE, IMAGE_BYTES);
      return withList(vcpu, LvbsFunction.KEXEC_VALIDATE, [[IMAGE, IMAGE + 0x1000, LvbsSection.TEXT]]);
    }),
    step('a mask by VTL1', (vcpu, below) =>
      vtl1(
        vcpu,
        HvCall.MODIFY_VTL_PROTECTION_MASK,
        1,
        encodeHvModifyProtection({
          partition: HV_PARTITION_SELF,
          flags: below(16),
          targetVtl: undefined,
          pages: [[0x200, 0x201, TEXT / 4096, 0x4_0003][below(4)] ?? 0],
        }),
      ),
    ),
    step('configuration by VTL1', (vcpu, below) =>
      below(4) === 0
        ? setOwn(vcpu, HvRegister.VSM_PARTITION_CONFIG, 1n | (BigInt([15, 11, 9][below(3)] ?? 15) << 1n))
        : '',
    ),
    step('MBEC by VTL1', (vcpu, below) =>
      below(4) === 0 ? setOwn(vcpu, HvRegister.VSM_SECURE_CONFIG_VTL0, BigInt(below(4))) : '',
    ),
    step('intercepts by VTL1', (vcpu, below) =>
      below(4) === 0
        ? setOwn(vcpu, HvRegister.CR_INTERCEPT_CONTROL, below(2) === 0 ? 0n : HvCrIntercept.LSTAR_WRITE)
        : '',
    ),
  ];
}
