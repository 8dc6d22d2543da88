import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isXenAccessType, xenAccessText } from './access.ts';
import { type Altp2mOperation, decodeAltp2mOperation, encodeAltp2mOperation } from './altp2m.ts';
import { decodeXenMemAccessOp, encodeXenMemAccessOp, XEN_DEFAULT_ACCESS_PFN } from './mem-access.ts';
import { VM_EVENT_RING_SLOTS, vmEventRingBack, vmEventRingFront } from './ring.ts';
import {
  decodeVmEvent,
  encodeVmEvent,
  VM_EVENT_REGISTERS,
  VM_EVENT_SIZE,
  type VmEvent,
  type VmEventDetail,
  type VmEventRegisters,
} from './vm-event.ts';

const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const u32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const u16 = fc.integer({ min: 0, max: 0xffff });
const access = fc.integer({ min: 0, max: 10 });
const command = <Command extends number>(...commands: Command[]) => fc.constantFrom(...commands);
const registers = fc
  .array(u64, { minLength: VM_EVENT_REGISTERS.length, maxLength: VM_EVENT_REGISTERS.length })
  .map(
    (values) =>
      Object.fromEntries(
        VM_EVENT_REGISTERS.map((name, index) => [name, values[index] ?? 0n]),
      ) as VmEventRegisters,
  );
const detail: fc.Arbitrary<VmEventDetail> = fc.oneof(
  fc.record({
    reason: fc.constant('mem-access' as const),
    frame: u64,
    offset: u64,
    linear: u64,
    flags: u32,
  }),
  fc.record({ reason: fc.constant('write-ctrlreg' as const), index: u32, value: u64, old: u64 }),
  fc.record({ reason: fc.constant('mov-to-msr' as const), msr: u64, value: u64, old: u64 }),
  fc.record({ reason: fc.constant('guest-request' as const) }),
  fc.record({
    reason: fc.constant('descriptor-access' as const),
    descriptor: fc.integer({ min: 0, max: 255 }),
    isWrite: fc.boolean(),
  }),
);
const event: fc.Arbitrary<VmEvent> = fc.record({ flags: u32, vcpu: u32, view: u16, detail, registers });

test('an event reads back as it was written, whatever it is about', () => {
  fc.assert(
    fc.property(event, (message) => {
      expect(decodeVmEvent(encodeVmEvent(message))).toEqual({ ok: true, message });
    }),
  );
});

test('an access operation has its fields where xen_mem_access_op has them', () => {
  const operation = {
    op: 0,
    access: 5,
    domain: 7,
    count: 2,
    pfn: XEN_DEFAULT_ACCESS_PFN,
    pfnList: 0x1122n,
    accessList: 0x3344n,
  };
  const bytes = encodeXenMemAccessOp(operation);
  expect(Buffer.from(bytes).toString('hex')).toBe(
    '0005070002000000ffffffffffffffff22110000000000004433000000000000',
  );
  expect(decodeXenMemAccessOp(bytes)).toEqual({ ok: true, message: operation });
  expect(decodeXenMemAccessOp(encodeXenMemAccessOp({ ...operation, op: 2 }))).toMatchObject({
    ok: false,
    fault: { field: 'op', found: 2n },
  });
});

test('an altp2m operation reads back as it was written', () => {
  const domain = u16;
  const operation: fc.Arbitrary<Altp2mOperation> = fc.oneof(
    fc.record({ command: command(1, 2), domain, enabled: fc.boolean() }),
    fc.record({ command: command(3), domain, vcpu: u32, frame: u64 }),
    fc.record({ command: command(4), domain, view: u16, defaultAccess: access }),
    fc.record({ command: command(5, 6), domain, view: u16 }),
    fc.record({ command: command(7, 12), domain, view: u16, access, frame: u64 }),
    fc.record({ command: command(8), domain, view: u16, from: u64, to: u64 }),
    fc.record({ command: command(10, 11), domain, view: u16, suppress: fc.boolean(), frame: u64 }),
    fc.record({ command: command(13), domain, vcpu: u32 }),
    fc.record({ command: command(14), domain, vcpu: u32, view: u16 }),
    fc.record({ command: command(16), domain, view: u16, visible: fc.boolean() }),
  );
  fc.assert(
    fc.property(operation, (message) => {
      expect(decodeAltp2mOperation(encodeAltp2mOperation(message))).toEqual({ ok: true, message });
    }),
  );
});

test('any bytes are read as a message or as a fault, and nothing throws', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), fc.integer({ min: 0, max: 20 }), (bytes, kind) => {
      if (bytes.length > 8) {
        bytes.set([kind === 0 ? 0 : kind % 3 === 0 ? 7 : 1, 0, 0, 0, kind, 0, 0, 0], 0);
      }
      for (const decode of [decodeVmEvent, decodeAltp2mOperation, decodeXenMemAccessOp]) {
        const decoded = decode(bytes);
        if (!decoded.ok) expect(decoded.fault.expected).not.toBe('');
      }
    }),
  );
});

test('access types are 0 to 9 for pages, 10 for the default in requests, and no others', () => {
  expect(Array.from({ length: 12 }, (_, value) => xenAccessText(value))).toEqual([
    ...['n', 'r', 'w', 'rw', 'x', 'rx', 'wx', 'rwx', 'rx2rw', 'n2rwx', 'default', '11'],
  ]);
  expect([-1, 0, 0.5, 9, 10, Number.NaN].map(isXenAccessType)).toEqual([
    false,
    true,
    false,
    true,
    false,
    false,
  ]);
  const operation = { op: 0, domain: 0, count: 1, pfn: 5n, pfnList: 0n, accessList: 0n } as const;
  const decoded = (access: number) => decodeXenMemAccessOp(encodeXenMemAccessOp({ ...operation, access }));
  expect(decoded(10)).toEqual({ ok: true, message: { ...operation, access: 10 } });
  expect(decoded(11)).toEqual({ ok: false, fault: { field: 'access', found: 11n, expected: '0 to 10' } });
  for (const operation of [
    (access: number) => ({ command: 4, domain: 0, view: 1, defaultAccess: access }) as const,
    (access: number) => ({ command: 7, domain: 0, view: 1, access, frame: 3n }) as const,
    (access: number) => ({ command: 12, domain: 0, view: 1, access, frame: 3n }) as const,
  ]) {
    const [last, next] = [10, 11].map((access) =>
      decodeAltp2mOperation(encodeAltp2mOperation(operation(access))),
    );
    expect(last).toEqual({ ok: true, message: operation(10) });
    expect(next).toMatchObject({ ok: false, fault: { found: 11n, expected: '0 to 10' } });
  }
});

test('a ring takes no more requests than have been answered leave room for', () => {
  const page = new Uint32Array(1024);
  const front = vmEventRingFront(page);
  const back = vmEventRingBack(page);
  for (let slot = 0; slot < 3; slot++) front.put(new Uint8Array(VM_EVENT_SIZE));
  for (let slot = 0; slot < 3; slot++) expect(back.take()).toBeInstanceOf(Uint8Array);
  // Three wait for their answers: five slots are left, and the front claims to have filled six.
  page[0] = 3 + VM_EVENT_RING_SLOTS - 3 + 1;
  expect(back.take()).toBe('broken');
  page[0] = 3 + VM_EVENT_RING_SLOTS - 3;
  expect(back.take()).toBeInstanceOf(Uint8Array);
});

test('a ring carries messages in order, fills up, and wraps', () => {
  const page = new Uint32Array(1024);
  const front = vmEventRingFront(page);
  const back = vmEventRingBack(page);
  const message = (value: number): Uint8Array => new Uint8Array(VM_EVENT_SIZE).fill(value);
  for (let round = 0; round < 3; round++) {
    for (let slot = 0; slot < VM_EVENT_RING_SLOTS; slot++) expect(front.put(message(slot))).toBe(true);
    expect(front.put(message(99))).toBe(false);
    for (let slot = 0; slot < VM_EVENT_RING_SLOTS; slot++) {
      expect(back.take()).toEqual(message(slot));
      expect(front.room).toBe(slot);
      expect(back.put(message(100 + slot))).toBe(true);
      expect(front.take()).toEqual(message(100 + slot));
    }
    expect(back.take()).toBeUndefined();
    expect(back.put(message(1))).toBe(false);
  }
});

test('indexes that the other end made up are never believed', () => {
  fc.assert(
    fc.property(u32, u32, fc.integer({ min: 0, max: 8 }), (requestIndex, replyIndex, sent) => {
      const page = new Uint32Array(1024);
      const front = vmEventRingFront(page);
      const back = vmEventRingBack(page);
      for (let count = 0; count < sent; count++) front.put(new Uint8Array(VM_EVENT_SIZE));
      page[0] = requestIndex;
      page[2] = replyIndex;
      let taken = 0;
      for (let reply = front.take(); reply !== undefined && reply !== 'broken'; reply = front.take()) taken++;
      expect(taken).toBe(replyIndex <= sent ? replyIndex : 0);
      taken = 0;
      for (let request = back.take(); request !== undefined && request !== 'broken'; request = back.take())
        taken++;
      expect(taken).toBe(requestIndex <= VM_EVENT_RING_SLOTS ? requestIndex : 0);
    }),
  );
});
