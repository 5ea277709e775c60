import type { BuildScript } from '../../../sandbox/index.ts';

/** A build whose lines the test writes itself, and whose end it says. */
export class Gate {
  readonly #waiting: (() => void)[] = [];
  readonly #lines: (string | Buffer)[] = [];
  #isOver = false;

  write(...lines: (string | Buffer)[]): void {
    this.#lines.push(...lines);
    this.#wake();
  }

  end(): void {
    this.#isOver = true;
    this.#wake();
  }

  script(more: Omit<BuildScript, 'lines'> = {}): BuildScript {
    return { ...more, lines: this.#read() };
  }

  async *#read(): AsyncGenerator<string | Buffer> {
    for (let next = 0; ; next += 1) {
      while (next >= this.#lines.length) {
        if (this.#isOver) return;
        await new Promise<void>((resolve) => this.#waiting.push(resolve));
      }
      yield this.#lines[next] ?? '';
    }
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }
}

/** A line as repo2docker writes it. */
export function said(message: string, phase = 'building'): string {
  return JSON.stringify({ message: `${message}\n`, phase });
}
