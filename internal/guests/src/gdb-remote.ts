import { connect, type Socket } from 'node:net';

/** The remote protocol of gdb, as far as a guest is steered by it. Connecting stops the guest. */
export interface GdbRemote {
  /** Lets the guest run until a breakpoint stops it. */
  continueToBreakpoint(timeoutMs: number): Promise<void>;
  /** A hardware breakpoint, or its removal. */
  setBreakpoint(address: bigint): Promise<void>;
  clearBreakpoint(address: bigint): Promise<void>;
  /** One instruction. */
  step(): Promise<void>;
  /** Numbers are QEMU's own; its description of the target does not tell them rightly. */
  readRegister(number: number, cpu?: number): Promise<bigint>;
  writeRegister(number: number, value: bigint, cpu?: number): Promise<void>;
  close(): void;
}

/** Connects to the socket at `path` (QEMU's option -gdb). */
export async function connectGdb(path: string): Promise<GdbRemote> {
  const socket = connect(path);
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', reject);
  });
  const packets = packetsOf(socket);
  const send = (text: string): void => {
    const sum = Buffer.from(text).reduce((total, byte) => (total + byte) % 256, 0);
    socket.write(`$${text}#${sum.toString(16).padStart(2, '0')}`);
  };
  /** Stops of a guest that stands anyway are told at any time, and are not answers. */
  const ask = async (text: string): Promise<string> => {
    send(text);
    for (;;) {
      const answer = await packets.next(10_000);
      if (!answer.startsWith('T')) return answer;
    }
  };
  const expectOk = async (text: string): Promise<void> => {
    const answer = await ask(text);
    if (answer !== 'OK') throw new Error(`gdb packet ${text} is answered by "${answer}": expected OK`);
  };
  const selectCpu = (cpu: number) => expectOk(`Hg${(cpu + 1).toString(16)}`);

  // QEMU reads and writes single registers only for a debugger that has looked at its description of the target.
  await ask('qXfer:features:read:target.xml:0,800');
  return {
    async continueToBreakpoint(timeoutMs) {
      send('c');
      while (!(await packets.next(timeoutMs)).startsWith('T')) {}
    },
    setBreakpoint: (address) => expectOk(`Z1,${address.toString(16)},1`),
    clearBreakpoint: (address) => expectOk(`z1,${address.toString(16)},1`),
    async step() {
      send('s');
      while (!(await packets.next(10_000)).startsWith('T')) {}
    },
    async readRegister(number, cpu = 0) {
      await selectCpu(cpu);
      const bytes = Buffer.alloc(8);
      bytes.write(await ask(`p${number.toString(16)}`), 'hex');
      return bytes.readBigUInt64LE();
    },
    async writeRegister(number, value, cpu = 0) {
      await selectCpu(cpu);
      const bytes = Buffer.alloc(8);
      bytes.writeBigUInt64LE(value);
      await expectOk(`P${number.toString(16)}=${bytes.toString('hex')}`);
    },
    close: () => socket.destroy(),
  };
}

/** The contents of the packets that arrive, each of them acknowledged. */
function packetsOf(socket: Socket): { next(timeoutMs: number): Promise<string> } {
  let text = '';
  const ready: string[] = [];
  let wake: (() => void) | undefined;
  socket.setEncoding('latin1');
  socket.on('data', (data: string) => {
    text += data;
    for (let match = PACKET.exec(text); match !== null; match = PACKET.exec(text)) {
      ready.push(match[1] ?? '');
      socket.write('+');
      text = text.slice(match.index + match[0].length);
    }
    wake?.();
  });
  return {
    async next(timeoutMs) {
      const deadline = Date.now() + timeoutMs;
      for (;;) {
        const packet = ready.shift();
        if (packet !== undefined) return packet;
        if (Date.now() >= deadline) throw new Error(`QEMU's gdb server said nothing for ${timeoutMs} ms`);
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, deadline - Date.now());
          wake = () => {
            clearTimeout(timer);
            resolve();
          };
        });
      }
    },
  };
}

const PACKET = /\$([^#]*)#[0-9a-f]{2}/;
