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

/** A scenario, to be written and lived: a machine of one's own, and what its kernel lives through. */
export function ScenarioForm({ text, onLive }: ScenarioFormProps) {
  return (
    <details class="scenario" open={text !== null}>
      <summary>A scenario: a machine of your own, and what its kernel lives through</summary>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          const written = new FormData(event.currentTarget).get('scenario');
          if (typeof written === 'string') onLive(written);
        }}
      >
        <label>
          As heki boot --scenario takes it
          <textarea name="scenario" rows={8} spellcheck={false} defaultValue={text ?? FIRST} />
        </label>
        <button type="submit">Run</button>
      </form>
    </details>
  );
}
