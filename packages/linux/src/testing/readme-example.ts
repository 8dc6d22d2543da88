import { createLinuxKernel } from '@heki/linux';
import {
  createMemoryMap,
  createMountedMemory,
  createRam,
  type Gfn,
  gfn,
  type Pfn,
  pfn,
} from '@heki/physical-memory';
import { createVcpu } from '@heki/vcpu';
import { INTEL_VT_RP } from '@heki/x86';

// A PC with 128 MiB, and a processor without any hypervisor: a guest frame is the host frame of the same number.
const memory = createRam<Gfn>({ ranges: [{ start: gfn(0), end: gfn(0x8000) }] });
const host = createMountedMemory<Pfn>({ mounts: [{ start: pfn(0), frames: 0x8000, memory, from: gfn(0) }] });
const vcpu = createVcpu({ id: 0, memory: host, processor: INTEL_VT_RP });

const kernel = createLinuxKernel({
  vcpu,
  memory,
  memoryMap: createMemoryMap<Gfn>([
    { start: gfn(1), end: gfn(0x9f), type: 'ram' },
    { start: gfn(0x100), end: gfn(0x8000), type: 'ram' },
  ]),
  commandLine: 'nokaslr',
  onEvent(event) {
    if (event.type === 'log') console.log(event.text);
    if (event.type === 'module') console.log(`module ${event.name}: ${event.step}`);
  },
});
console.log(`boot: ${kernel.boot().kind}`);

const text = Uint8Array.of(0x0f, 0x1f, 0x44, 0x00, 0x00, 0xc3);
const module = kernel.loadModule({ name: 'hello', memory: { text, data: new Uint8Array(64) } });
if (module.kind === 'done') {
  const address = module.value.memory.get('text')?.address ?? kernel.address('_text');
  console.log(
    `its text at 0x${address.toString(16)}: a store ends with ${vcpu.store(address, 1, 0xccn).kind}`,
  );
  console.log(`text_poke: ${kernel.textPoke(address, Uint8Array.of(0xcc)).kind}`);
  const byte = vcpu.load(address, 1);
  console.log(`the byte there is 0x${byte.kind === 'done' ? byte.value.toString(16) : ''} now`);
}
