import { useEffect, useRef, useState } from 'preact/hooks';
import type { ScenarioEditor } from './scenario/editor.ts';

interface ScenarioFormProps {
  /** That which is lived. */
  readonly text: string | null;
  readonly onLive: (text: string) => void;
}

/** What one begins with. */
const FIRST = `{
  "machine": { "memory": "64MiB", "hypervisor": "kvm", "profile": "rfc-v2" },
  "steps": [
    { "do": "load-module", "name": "driver", "text": 4 },
    { "do": "attack", "how": "store-text" }
  ]
}`;

const LABEL = 'As heki boot --scenario takes it';

/** A scenario, to be written and lived: a machine of one's own, and what its kernel lives through. The editor is loaded when it is looked at. */
export function ScenarioForm({ text, onLive }: ScenarioFormProps) {
  const [isOpen, setIsOpen] = useState(text !== null);
  const host = useRef<HTMLDivElement>(null);
  const editor = useRef<ScenarioEditor | undefined>(undefined);
  useEffect(() => {
    if (!isOpen) return undefined;
    let isWanted = true;
    void import('./scenario/editor.ts').then(async ({ openEditor }) => {
      if (!isWanted || host.current === null || editor.current !== undefined) return;
      editor.current = await openEditor(host.current, LABEL, text ?? FIRST);
    });
    return () => {
      isWanted = false;
    };
  }, [isOpen]);
  useEffect(() => () => editor.current?.close(), []);
  return (
    <details
      class="scenario"
      open={text !== null}
      onToggle={(event) => {
        if (event.currentTarget.open) setIsOpen(true);
      }}
    >
      <summary>A scenario: a machine of your own, and what its kernel lives through</summary>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (editor.current !== undefined) onLive(editor.current.text);
        }}
      >
        <p>
          {LABEL}. <kbd>Ctrl</kbd> <kbd>Space</kbd> says what can stand there.
        </p>
        <div class="editor" ref={host} />
        <button type="submit">Run</button>
      </form>
    </details>
  );
}
