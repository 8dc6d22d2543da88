import {
  decodeHvResult,
  encodeHvControl,
  encodeHvGetRegisters,
  encodeHvModifyProtection,
  encodeHvSetRegisters,
  HV_PARTITION_SELF,
  HV_VP_SELF,
  HvCall,
  HvMapGpa,
  HvRegister,
  HvStatus,
  HvVsmPartitionConfig,
} from '@heki/hypercall/hyperv';
import type { Gfn, Gpa } from '@heki/physical-memory';
import { expect, test } from 'vitest';
import { createTestGuest, type TestGuest } from '../testing/guest.ts';

/** HvCallModifyVtlProtectionMask by VTL1. */
function modify(
  guest: TestGuest,
  pages: number[],
  flags: number,
  change: { repStart?: number; repCount?: number; vtl?: number | undefined; partition?: bigint } = {},
) {
  const { repStart = 0, repCount = pages.length, vtl, partition = HV_PARTITION_SELF } = change;
  const { result } = guest.vm.vtl1Hypercall(
    guest.vcpu,
    encodeHvControl({ code: HvCall.MODIFY_VTL_PROTECTION_MASK, repCount, repStart }),
    encodeHvModifyProtection({ partition, flags, targetVtl: vtl, pages }),
  );
  return decodeHvResult(result);
}

/** A hypercall of VTL0 with its input at frame 0x90. */
function fromVtl0(
  guest: TestGuest,
  control: bigint,
  input: Uint8Array,
  at = 0x9_0000n,
): { status: number; repsCompleted: number } {
  guest.put(0x9_0000, input);
  Object.assign(guest.vcpu.registers, { rcx: control, rdx: at, r8: 0x9_1000n, rax: ~0n & 0xffffn });
  expect(guest.vcpu.vmcall().kind).toBe('done');
  return decodeHvResult(guest.vcpu.registers.rax);
}

const rights = (guest: TestGuest, gfn: number) => {
  const effective = guest.vm.effectiveRights(gfn as Gfn);
  return (
    effective &&
    [effective.read, effective.write, effective.supervisorExecute, effective.userExecute].map(Number).join('')
  );
};

test('VTL1 restricts VTL0 page by page, and may relax again: nothing is immutable for the hypervisor', () => {
  const guest = createTestGuest();
  expect(modify(guest, [0x200, 0x202], HvMapGpa.READABLE)).toEqual({ status: 0, repsCompleted: 2 });
  expect([0x200, 0x201, 0x202].map((gfn) => rights(guest, gfn))).toEqual(['1000', '1111', '1000']);
  expect(guest.store(0x20_0000)).toBe(false);
  expect(modify(guest, [0x200], 15)).toEqual({ status: 0, repsCompleted: 1 });
  expect(guest.store(0x20_0000)).toBe(true);
});

test('a page that is not RAM ends the call there, and what came before stays and is counted', () => {
  const guest = createTestGuest();
  expect(modify(guest, [0x300, 0x301, 0x5000, 0x302], 1)).toEqual({
    status: HvStatus.OPERATION_DENIED,
    repsCompleted: 2,
  });
  expect([0x300, 0x301, 0x302].map((gfn) => rights(guest, gfn))).toEqual(['1000', '1000', '1111']);
  // The caller goes on behind it, by the rep start.
  expect(modify(guest, [0x300, 0x301, 0x5000, 0x302], 1, { repStart: 3 })).toEqual({
    status: 0,
    repsCompleted: 4,
  });
  expect(rights(guest, 0x302)).toBe('1000');
  expect(modify(guest, [2 ** 52], 1)).toEqual({ status: HvStatus.OPERATION_DENIED, repsCompleted: 0 });
});

test('510 pages fit one call and 511 do not', () => {
  const guest = createTestGuest();
  const pages = Array.from({ length: 511 }, (_, i) => 0x400 + i);
  expect(modify(guest, pages.slice(0, 510), 1)).toEqual({ status: 0, repsCompleted: 510 });
  expect(rights(guest, 0x400 + 509)).toBe('1000');
  expect(modify(guest, pages, 1)).toEqual({ status: HvStatus.INVALID_HYPERCALL_INPUT, repsCompleted: 0 });
  expect(modify(guest, [0x200], 1, { repCount: 0 }).status).toBe(HvStatus.INVALID_HYPERCALL_INPUT);
  expect(modify(guest, [0x200], 1, { repStart: 1 }).status).toBe(HvStatus.INVALID_HYPERCALL_INPUT);
});

const ALL_MASKS = Array.from({ length: 16 }, (_, flags) => flags);

test.each([
  [
    'with mode-based execute control the kernel executes nothing that user code may not',
    true,
    [0, 1, 3, 9, 11, 13, 15],
  ],
  ['without mode-based execute control kernel and user execute the same', false, [0, 1, 3, 13, 15]],
])('%s', (_, mbec, allowed) => {
  const guest = createTestGuest({ mbec });
  for (const flags of ALL_MASKS) {
    const before = rights(guest, 0x200);
    const { status } = modify(guest, [0x200], flags);
    expect([flags, status]).toEqual([
      flags,
      allowed.includes(flags) ? HvStatus.SUCCESS : HvStatus.INVALID_REGISTER_VALUE,
    ]);
    if (status !== HvStatus.SUCCESS) expect(rights(guest, 0x200)).toBe(before);
  }
});

test('no mask that cannot protect a page becomes that of all pages', () => {
  const guest = createTestGuest();
  const become = (flags: number): number => {
    const value = 1n | (BigInt(flags) << HvVsmPartitionConfig.DEFAULT_PROTECTION_SHIFT);
    const control = encodeHvControl({ code: HvCall.SET_VP_REGISTERS, repCount: 1 });
    const values = [{ name: HvRegister.VSM_PARTITION_CONFIG, value }];
    const input = encodeHvSetRegisters({ partition: HV_PARTITION_SELF, vp: HV_VP_SELF, vtl: 1, values });
    return decodeHvResult(guest.vm.vtl1Hypercall(guest.vcpu, control, input).result).status;
  };
  for (const flags of [2, 4, 5, 7, 8]) expect(become(flags)).toBe(HvStatus.INVALID_PARAMETER);
  expect(rights(guest, 0x200)).toBe('1111');
  expect(become(9)).toBe(HvStatus.SUCCESS);
  expect(rights(guest, 0x200)).toBe('1001');
});

test('other partitions and higher VTLs are denied, and VTL0 has no VTL below it to protect from', () => {
  const guest = createTestGuest();
  expect(modify(guest, [0x200], 16).status).toBe(HvStatus.INVALID_REGISTER_VALUE);
  expect(modify(guest, [0x200], 1, { partition: 7n }).status).toBe(HvStatus.ACCESS_DENIED);
  expect(modify(guest, [0x200], 1, { partition: 7n, vtl: 0 }).status).toBe(HvStatus.ACCESS_DENIED);
  expect(modify(guest, [0x200], 1, { vtl: 2 }).status).toBe(HvStatus.ACCESS_DENIED);
  expect(modify(guest, [0x200], 1, { vtl: 0 }).status).toBe(HvStatus.INVALID_PARAMETER);
  expect(rights(guest, 0x200)).toBe('1111');
});

test('of two things that are wrong with a call of VTL1 the one that openvmm looks at first decides', () => {
  const { INVALID_PARAMETER, ACCESS_DENIED, INVALID_REGISTER_VALUE, OPERATION_DENIED, SUCCESS } = HvStatus;
  for (const enabled of [true, false]) {
    const guest = createTestGuest();
    if (!enabled) {
      const value = BigInt(HvMapGpa.READABLE) << HvVsmPartitionConfig.DEFAULT_PROTECTION_SHIFT;
      const values = [{ name: HvRegister.VSM_PARTITION_CONFIG, value }];
      guest.vm.vtl1Hypercall(
        guest.vcpu,
        encodeHvControl({ code: HvCall.SET_VP_REGISTERS, repCount: 1 }),
        encodeHvSetRegisters({ partition: HV_PARTITION_SELF, vp: HV_VP_SELF, vtl: 1, values }),
      );
    }
    const before = rights(guest, 0x200);
    for (const vtl of [undefined, 0, 1, 2, 3, 15]) {
      for (const partition of [HV_PARTITION_SELF, 7n]) {
        for (const flags of [15, 2, 16, 0x8001, 0x8000_000f]) {
          for (const page of [0x200, 0x5000, 2 ** 52]) {
            const checks: [boolean, number][] = [
              [vtl !== undefined && vtl > 2, INVALID_PARAMETER],
              [partition === 7n, ACCESS_DENIED],
              [vtl === 2, ACCESS_DENIED],
              [vtl === 0, INVALID_PARAMETER],
              [!enabled, ACCESS_DENIED],
              [flags !== 15, INVALID_REGISTER_VALUE],
              [page !== 0x200, OPERATION_DENIED],
            ];
            const status = checks.find(([fails]) => fails)?.[1] ?? SUCCESS;
            const change = { partition, repStart: 1, vtl };
            expect([vtl, partition, flags, page, modify(guest, [0x5000, page], flags, change)]).toEqual([
              vtl,
              partition,
              flags,
              page,
              { status, repsCompleted: status === SUCCESS ? 2 : 1 },
            ]);
          }
        }
      }
    }
    expect(rights(guest, 0x200)).toBe(enabled ? '1111' : before);
  }
});

test('VTL0 can restrict no VTL and configure nothing', () => {
  const guest = createTestGuest();
  const mask = encodeHvModifyProtection({
    partition: HV_PARTITION_SELF,
    flags: 1,
    targetVtl: 1,
    pages: [0x200],
  });
  const control = encodeHvControl({ code: HvCall.MODIFY_VTL_PROTECTION_MASK, repCount: 1 });
  expect(fromVtl0(guest, control, mask)).toEqual({ status: HvStatus.ACCESS_DENIED, repsCompleted: 0 });
  const config = encodeHvSetRegisters({
    partition: HV_PARTITION_SELF,
    vp: HV_VP_SELF,
    vtl: 1,
    values: [{ name: HvRegister.VSM_PARTITION_CONFIG, value: 0n }],
  });
  const set = encodeHvControl({ code: HvCall.SET_VP_REGISTERS, repCount: 1 });
  expect(fromVtl0(guest, set, config).status).toBe(HvStatus.ACCESS_DENIED);
  const get = encodeHvControl({ code: HvCall.GET_VP_REGISTERS, repCount: 1 });
  const names = (name: number) =>
    encodeHvGetRegisters({ partition: HV_PARTITION_SELF, vp: HV_VP_SELF, vtl: undefined, names: [name] });
  expect(fromVtl0(guest, get, names(HvRegister.CR0)).status).toBe(HvStatus.ACCESS_DENIED);
  expect(fromVtl0(guest, get, names(HvRegister.VSM_PARTITION_STATUS))).toEqual({
    status: 0,
    repsCompleted: 1,
  });
  expect([0, 1, 2].map((i) => guest.byte(0x9_1000 + i))).toEqual([3, 0, 1]);
});

test('calls that cannot be read are answered, each with its status', () => {
  const guest = createTestGuest();
  const none = new Uint8Array(16);
  const call = (code: number, change = {}) => encodeHvControl({ code, ...change });
  expect(fromVtl0(guest, call(0x7777), none).status).toBe(HvStatus.INVALID_HYPERCALL_CODE);
  expect(fromVtl0(guest, call(0xc) | (1n << 63n), none).status).toBe(HvStatus.INVALID_HYPERCALL_INPUT);
  expect(fromVtl0(guest, call(0xc, { nested: true }), none).status).toBe(HvStatus.INVALID_HYPERCALL_INPUT);
  expect(fromVtl0(guest, call(0xc, { fast: true, repCount: 1 }), none).status).toBe(
    HvStatus.INVALID_HYPERCALL_INPUT,
  );
  expect(fromVtl0(guest, call(0xd), none, 0x9_0004n).status).toBe(HvStatus.INVALID_ALIGNMENT);
  expect(fromVtl0(guest, call(0xd), none, 0x7fff_0000_0000n).status).toBe(HvStatus.INVALID_HYPERCALL_INPUT);
  expect(fromVtl0(guest, call(0xd), none).status).toBe(HvStatus.INVALID_PARAMETER);
  expect(fromVtl0(guest, call(0xd), Uint8Array.of(...none.slice(0, 8), 1, ...none.slice(0, 7))).status).toBe(
    HvStatus.VTL_ALREADY_ENABLED,
  );
});

test('of two things that are wrong with a call of VTL0 the one that openvmm looks at first decides', () => {
  const guest = createTestGuest();
  const { INVALID_HYPERCALL_CODE, INVALID_HYPERCALL_INPUT, INVALID_ALIGNMENT, INVALID_PARAMETER } = HvStatus;
  const mask = encodeHvModifyProtection({ partition: 7n, flags: 1, targetVtl: 3, pages: [0x200] });
  for (const code of [HvCall.MODIFY_VTL_PROTECTION_MASK, 0x7777]) {
    for (const repCount of [1, 0]) {
      // In the page and aligned; not in one page; not aligned; neither; no memory; no memory and not aligned; past all physical addresses.
      for (const at of [0x9_0000n, 0x9_0ff0n, 0x9_0004n, 0x9_0ff4n, 0x5000_0000n, 0x5000_0004n, 1n << 60n]) {
        const checks: [boolean, number][] = [
          [code === 0x7777, INVALID_HYPERCALL_CODE],
          [repCount === 0, INVALID_HYPERCALL_INPUT],
          [at % 4096n > 4096n - 24n, INVALID_HYPERCALL_INPUT],
          [at % 8n !== 0n, INVALID_ALIGNMENT],
          [at >= 0x100_0000n, INVALID_HYPERCALL_INPUT],
          [true, INVALID_PARAMETER],
        ];
        expect([code, repCount, at, fromVtl0(guest, encodeHvControl({ code, repCount }), mask, at)]).toEqual([
          code,
          repCount,
          at,
          { status: checks.find(([fails]) => fails)?.[1], repsCompleted: 0 },
        ]);
      }
    }
  }
});

test('a call whose answer has no place is not carried out', () => {
  const guest = createTestGuest();
  const input = encodeHvGetRegisters({
    partition: HV_PARTITION_SELF,
    vp: HV_VP_SELF,
    vtl: undefined,
    names: [HvRegister.VSM_PARTITION_STATUS, HvRegister.VSM_PARTITION_STATUS],
  });
  guest.put(0x9_0000, input);
  const answer = (r8: bigint): number => {
    const rcx = encodeHvControl({ code: HvCall.GET_VP_REGISTERS, repCount: 2 });
    Object.assign(guest.vcpu.registers, { rcx, rdx: 0x9_0000n, r8 });
    guest.vcpu.vmcall();
    return decodeHvResult(guest.vcpu.registers.rax).status;
  };
  expect(answer(0x9_1fe0n)).toBe(HvStatus.SUCCESS);
  expect(answer(0x9_1fe8n)).toBe(HvStatus.INVALID_HYPERCALL_INPUT);
  expect(answer(0x9_1004n)).toBe(HvStatus.INVALID_ALIGNMENT);
  expect(answer(0x5000_0000n)).toBe(HvStatus.INVALID_HYPERCALL_INPUT);
});

test('user code and 32-bit code get #UD, as does a return from VTL1 by who is not there', () => {
  const guest = createTestGuest();
  const { vcpu } = guest;
  vcpu.registers.rcx = BigInt(HvCall.VTL_RETURN);
  expect(vcpu.vmcall()).toMatchObject({ kind: 'exception', vector: 6 });
  vcpu.registers.rcx = BigInt(HvCall.VTL_CALL);
  vcpu.registers.cpl = 3;
  expect(vcpu.vmcall()).toMatchObject({ kind: 'exception', vector: 6 });
  expect(guest.vm.statistics.vtlCalls).toBe(0);
});

test('the hypervisor writes answers only where VTL0 may write, and reads only what VTL0 may read', () => {
  const guest = createTestGuest();
  modify(guest, [0x91], HvMapGpa.READABLE);
  const input = encodeHvGetRegisters({
    partition: HV_PARTITION_SELF,
    vp: HV_VP_SELF,
    vtl: undefined,
    names: [HvRegister.VSM_PARTITION_STATUS],
  });
  const get = encodeHvControl({ code: HvCall.GET_VP_REGISTERS, repCount: 1 });
  expect(fromVtl0(guest, get, input).status).toBe(HvStatus.INVALID_HYPERCALL_INPUT);
  expect(guest.byte(0x9_1000)).toBe(0);
  modify(guest, [0x90], 0);
  expect(fromVtl0(guest, get, input).status).toBe(HvStatus.INVALID_HYPERCALL_INPUT);
  expect(guest.vm.write('hypervisor', 0x9_1000 as Gpa, Uint8Array.of(1))).toMatchObject({
    ok: false,
    why: 'denied',
  });
});

test('without the MBEC opt-in kernel and user have one right to execute', () => {
  const guest = createTestGuest();
  modify(guest, [0x200], HvMapGpa.READABLE | HvMapGpa.USER_EXECUTABLE);
  expect(rights(guest, 0x200)).toBe('1001');
  expect(guest.vcpu.fetch(guest.va(0x20_0000)).kind).toBe('exception');
  const set = (name: number, value: bigint) =>
    decodeHvResult(
      guest.vm.vtl1Hypercall(
        guest.vcpu,
        encodeHvControl({ code: HvCall.SET_VP_REGISTERS, repCount: 1 }),
        encodeHvSetRegisters({
          partition: HV_PARTITION_SELF,
          vp: HV_VP_SELF,
          vtl: undefined,
          values: [{ name, value }],
        }),
      ).result,
    ).status;
  expect(set(HvRegister.VSM_SECURE_CONFIG_VTL0, 0n)).toBe(0);
  const { READABLE, KERNEL_EXECUTABLE, USER_EXECUTABLE } = HvMapGpa;
  expect(modify(guest, [0x200], READABLE | USER_EXECUTABLE).status).toBe(HvStatus.INVALID_REGISTER_VALUE);
  modify(guest, [0x200], READABLE | KERNEL_EXECUTABLE | USER_EXECUTABLE);
  modify(guest, [0x201], READABLE);
  expect([0x200, 0x201].map((gfn) => rights(guest, gfn))).toEqual(['1011', '1000']);
  expect(guest.vcpu.fetch(guest.va(0x20_0000)).kind).toBe('done');
  expect(set(HvRegister.VSM_SECURE_CONFIG_VTL0, 4n)).toBe(HvStatus.INVALID_PARAMETER);
});

test('pages without a request have the default protection of the partition', () => {
  const guest = createTestGuest();
  const value = 1n | (BigInt(HvMapGpa.READABLE | HvMapGpa.WRITABLE) << 1n);
  guest.vm.vtl1Hypercall(
    guest.vcpu,
    encodeHvControl({ code: HvCall.SET_VP_REGISTERS, repCount: 1 }),
    encodeHvSetRegisters({
      partition: HV_PARTITION_SELF,
      vp: HV_VP_SELF,
      vtl: 1,
      values: [{ name: HvRegister.VSM_PARTITION_CONFIG, value }],
    }),
  );
  expect(rights(guest, 0x500)).toBe('1100');
});
