// Reads what battles.py writes: one zlib stream of uint16 a view, column after column.

function fromBase64(text) {
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let place = 0; place < raw.length; place++) bytes[place] = raw.charCodeAt(place);
  return bytes;
}

const inflate = (text, format) =>
  new Response(new Blob([fromBase64(text)]).stream().pipeThrough(new DecompressionStream(format)));

function half(bits) { // float16 -> number
  const sign = bits & 0x8000 ? -1 : 1, exponent = bits >> 10 & 31, fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

// The decisions of one view. `content` is the report's; `buffer` the inflated stream.
class Rows {
  constructor(content, buffer, length) {
    const { varying, constant } = content.layout;
    const values = new DataView(buffer);
    this.length = length;
    this.content = content;
    const column = place => step => values.getUint16(2 * (place * length + step), true);
    this.columns = constant.map(value => () => value);
    varying.forEach((which, place) => { this.columns[which] = column(place); });
    let next = varying.length;
    [this.legalBits, this.candidateBits, this.actionBits, this.gimmick] = [0, 1, 2, 3].map(() => column(next++));
    this.runs = content.together.map(run => {
      const { has_value, has_gimmick } = content.runs[run];
      const take = count => Array.from({ length: count }, () => column(next++));
      return { probs: take(10), value: has_value ? column(next++) : null, gimmick: has_gimmick ? take(20) : null };
    });
    this.fields = new Map(content.schema.fields.map(field => [field.name, field]));
  }

  has(name) { return this.fields.has(name); }

  // Values of a field: ids, numbers, or booleans for flags and bits.
  get(name, step) {
    const field = this.fields.get(name);
    if (!field) return [];
    const bits = Array.from({ length: field.columns }, (_, place) => this.columns[field.first + place](step));
    if (field.kind === "category") return bits;
    const numbers = bits.map(half);
    if (field.kind === "flag") return numbers.map(Boolean);
    if (field.kind !== "bits") return numbers;
    const each = this.content.units[3];
    return Array.from({ length: field.width }, (_, place) => Boolean(numbers[Math.floor(place / each)] >> place % each & 1));
  }

  first(name, step) { return this.get(name, step)[0]; }

  legal(step) { // null: not recorded
    const bits = this.legalBits(step);
    return bits ? Array.from({ length: 10 }, (_, action) => Boolean(bits >> action & 1)) : null;
  }

  candidates(step) { return Array.from({ length: 10 }, (_, action) => Boolean(this.candidateBits(step) >> action & 1)); }

  action(step) { return this.actionBits(step) << 16 >> 16; } // -1: not known

  probs(run, step) { return this.runs[run].probs.map(column => column(step) / this.content.units[0]); }

  value(run, step) {
    const column = this.runs[run].value, [, unit, zero] = this.content.units;
    return column ? (column(step) - zero) / unit : null;
  }

  gimmickProbs(run, step, slot) { // of each of the five, given this move; null without such a head
    const columns = this.runs[run].gimmick;
    return columns ? [0, 1, 2, 3, 4].map(place => columns[5 * slot + place](step) / this.content.units[0]) : null;
  }
}
