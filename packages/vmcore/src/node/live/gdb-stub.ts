import { PAGE_SIZE, PAGE_WORDS } from '@heki/physical-memory';
import { VmcoreError } from '../../error.ts';
import { type SocketAddress, socketName } from './socket-address.ts';
import { answerDeadline, connectSync } from './sync-socket.ts';

/** The remote protocol of gdb (Debugging with GDB, appendix E), as far as QEMU's stub is read by it. Connecting makes the guest stand. */
export interface GdbStub {
  /**
   * Has memory read by physical address from now on.
   *
   * @throws {VmcoreError} when the stub is not QEMU's: others read by virtual address alone, and tell no control registers
   */
  readPhysical(): void;
  /** What QEMU's human monitor prints for `line`. */
  monitor(line: string): string;
  /** The page at a physical address. */
  physicalPage(address: number): Uint32Array;
  /** Lets the guest go on, and leaves. */
  resume(): void;
  /** Leaves; the guest stands. */
  close(): void;
}

/** QEMU's packets hold 4,096 characters, two for each byte. */
const MOST_BYTES = 2048;
/** Of the checksum behind a packet. */
const SUM_DIGITS = 2;
/** More than QEMU says to any command here. */
const MOST_TEXT = 2 ** 24;

/** Connects to the stub at `address`. @throws {VmcoreError} when there is none */
export function connectGdb(address: SocketAddress): GdbStub {
  const name = socketName(address);
  const socket = connectSync(address);
  let text = '';

  /** The contents of the next packet. */
  function packet(deadline: number): string {
    for (;;) {
      const start = text.indexOf('$') + 1;
      const end = start === 0 ? -1 : text.indexOf('#', start);
      if (end >= 0 && text.length >= end + 1 + SUM_DIGITS) {
        const contents = text.slice(start, end);
        const sum = text.slice(end + 1, end + 1 + SUM_DIGITS);
        text = text.slice(end + 1 + SUM_DIGITS);
        socket.send('+');
        if (sumOf(contents) === sum.toLowerCase()) return expanded(contents);
        throw new VmcoreError(
          `${name}: a gdb packet with a wrong checksum: ${JSON.stringify(contents.slice(0, 60))}`,
        );
      }
      if (text.length > MOST_TEXT)
        throw new VmcoreError(`${name}: this is not a gdb stub: a packet without an end`);
      text += socket.receive(deadline);
    }
  }

  function send(contents: string): void {
    socket.send(`$${contents}#${sumOf(contents)}`);
  }

  /** Stops of a guest that stands anyway are told at any time, and are not answers. */
  function ask(contents: string): string {
    const deadline = answerDeadline();
    send(contents);
    for (;;) {
      const answer = packet(deadline);
      if (!answer.startsWith('T')) return answer;
    }
  }

  function monitor(line: string): string {
    const deadline = answerDeadline();
    send(`qRcmd,${Buffer.from(line, 'latin1').toString('hex')}`);
    let output = '';
    for (;;) {
      const answer = packet(deadline);
      if (answer === 'OK') return output;
      if (answer.startsWith('T')) continue;
      if (!answer.startsWith('O')) {
        throw new VmcoreError(
          `${name}: the gdb stub has no monitor command "${line}": it answers ${JSON.stringify(answer)}`,
        );
      }
      output += Buffer.from(answer.slice(1), 'hex').toString('latin1');
      if (output.length > MOST_TEXT) throw new VmcoreError(`${name}: "${line}" prints without an end`);
    }
  }

  /** QEMU wants to be told the process once any debugger asked for several. */
  function detach(): void {
    if (ask('D;1') !== 'OK' && ask('D') !== 'OK') send('c');
  }

  return {
    readPhysical() {
      if (ask('Qqemu.PhyMemMode:1') === 'OK') return;
      throw new VmcoreError(
        `${name}: this gdb stub is not QEMU's: it offers no physical memory (Qqemu.PhyMemMode), which page tables are read by`,
      );
    },
    monitor,
    physicalPage(at) {
      const page = new Uint32Array(PAGE_WORDS);
      const target = Buffer.from(page.buffer);
      for (let done = 0; done < PAGE_SIZE; done += MOST_BYTES) {
        const answer = ask(`m${(at + done).toString(16)},${MOST_BYTES.toString(16)}`);
        if (answer.length !== 2 * MOST_BYTES || target.write(answer, done, 'hex') !== MOST_BYTES) {
          throw new VmcoreError(
            `${name}: the gdb stub gives no memory at 0x${(at + done).toString(16)}: ${JSON.stringify(answer.slice(0, 60))}`,
          );
        }
      }
      return page;
    },
    resume() {
      try {
        ask('Qqemu.PhyMemMode:0');
        detach();
      } finally {
        socket.close();
      }
    },
    close() {
      try {
        ask('Qqemu.PhyMemMode:0');
      } finally {
        socket.close();
      }
    },
  };
}

function sumOf(contents: string): string {
  let sum = 0;
  for (let index = 0; index < contents.length; index++) sum += contents.charCodeAt(index);
  return (sum % 256).toString(16).padStart(2, '0');
}

/** Runs are told as a character, `*`, and their length less 29, as a character. */
function expanded(contents: string): string {
  return contents.replace(/(.)\*([ -~])/g, (_, character: string, length: string) =>
    character.repeat(length.charCodeAt(0) - 28),
  );
}
