import type { AbstractPolicy } from '../abstract/policy.ts';

interface Translation {
  readonly frame: number;
  readonly w: boolean;
  readonly x: boolean;
}

/** The abstract machine once more, as objects: slow, and easy to see through. */
export class ReadableMachine {
  readonly maps = [0, 1];
  readonly frames = [
    { w: false, x: true, approved: true },
    { w: true, x: false, approved: false },
    { w: true, x: false, approved: false },
  ];
  readonly caches: Map<number, Translation>[] = [new Map(), new Map()];
  request: { readonly frame: number; readonly next: 'grant' | 'flush 0' | 'flush 1' | 'judge' } | undefined;
  readonly fallen = new Set<string>();

  readonly policy: AbstractPolicy;

  constructor(policy: AbstractPolicy) {
    this.policy = policy;
  }

  /** Does what `text` says; `false` when it cannot happen. */
  act(text: string): boolean {
    const words = text.split(' ');
    const last = Number(words.at(-1));
    if (text.startsWith('the guest maps')) {
      this.maps[Number(words[4])] = last;
      return true;
    }
    if (text.startsWith('the guest asks')) return this.#ask(last);
    if (text.startsWith('the guest gives')) return this.#release(Number(words[4]));
    if (text.startsWith('the owner')) return this.#proceed();
    const cpu = Number(words[1]);
    if (text.includes('loses')) {
      this.#cache(cpu).delete(last);
      return true;
    }
    return text.includes('executes')
      ? this.#fetch(cpu, last)
      : this.#store(cpu, last, words[3] === 'approved');
  }

  #cache(cpu: number): Map<number, Translation> {
    return this.caches[cpu] ?? new Map();
  }

  #frame(index: number): { w: boolean; x: boolean; approved: boolean } {
    const frame = this.frames[index];
    if (frame === undefined) throw new RangeError(`frame ${index}`);
    return frame;
  }

  #translate(cpu: number, va: number, right: 'w' | 'x'): number | undefined {
    const cached = this.#cache(cpu).get(va);
    if (cached?.[right] === true) return cached.frame;
    const frame = this.policy.hlat && va === 0 ? 0 : (this.maps[va] ?? 0);
    const { w, x } = this.#frame(frame);
    if (!{ w, x }[right]) return undefined;
    this.#cache(cpu).set(va, { frame, w, x });
    return frame;
  }

  #store(cpu: number, va: number, approved: boolean): boolean {
    const frame = this.#translate(cpu, va, 'w');
    if (frame === undefined) return false;
    this.#frame(frame).approved = approved;
    return true;
  }

  #fetch(cpu: number, va: number): boolean {
    const frame = this.#translate(cpu, va, 'x');
    if (frame === undefined) return false;
    if (!this.#frame(frame).approved) this.fallen.add('P6');
    if (va === 0 && frame !== 0) this.fallen.add('P7');
    return true;
  }

  #flush(): void {
    if (this.policy.flushes) for (const cache of this.caches) cache.clear();
  }

  #ask(index: number): boolean {
    const frame = this.#frame(index);
    if (this.request !== undefined || frame.x) return false;
    switch (this.policy.asks) {
      case 'nothing':
        frame.w = true;
        frame.x = true;
        this.#flush();
        return true;
      case 'not-writable':
        frame.w = false;
        frame.x = true;
        this.#flush();
        return true;
      case 'approved':
        if (this.policy.looks === 'before') {
          if (!frame.approved) return false;
          this.request = { frame: index, next: 'grant' };
        } else {
          frame.w = false;
          this.request = { frame: index, next: 'flush 0' };
        }
        return true;
    }
  }

  #release(index: number): boolean {
    const frame = this.#frame(index);
    if (index === 0 || this.request !== undefined || !frame.x || frame.w) return false;
    frame.w = true;
    frame.x = false;
    this.#flush();
    return true;
  }

  #proceed(): boolean {
    const { request } = this;
    if (request === undefined) return false;
    const frame = this.#frame(request.frame);
    switch (request.next) {
      case 'grant':
        frame.w = false;
        frame.x = true;
        this.#flush();
        this.request = undefined;
        break;
      case 'flush 0':
        if (this.policy.flushes) this.#cache(0).clear();
        this.request = { ...request, next: this.policy.flushes ? 'flush 1' : 'judge' };
        break;
      case 'flush 1':
        this.#cache(1).clear();
        this.request = { ...request, next: 'judge' };
        break;
      case 'judge':
        frame.x = frame.approved;
        frame.w = !frame.approved;
        this.request = undefined;
    }
    return true;
  }
}
