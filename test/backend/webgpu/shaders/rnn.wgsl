l0: matmul: product 16×16, 1×1×1 workgroups
l0: add: chain, 1×1×1 workgroups
rnn_l0: initial h: chain, 1×1×1 workgroups
rnn_l0: 3 steps
  l0: matmul: product 16×16, 1×1×1 workgroups
  l0: h': chain, 1×1×1 workgroups
add: chain, 2×1×1 workgroups
rnn_l0: backward: initial dh: chain, 1×1×1 workgroups
rnn_l0: backward: 3 steps in reverse
  dz: chain, 1×1×1 workgroups
  dh: product 16×16, 1×1×1 workgroups
dweight_hh: product 16×16, 1×1×1 workgroups
dbias_hh: sum over rows, 1×1×1 workgroups
dweight_ih: product 16×16, 1×1×1 workgroups
result 0: copy: chain, 2×1×1 workgroups
result 1: copy: chain, 2×1×1 workgroups
result 5: copy: chain, 1×1×1 workgroups

// l0: matmul
@group(0) @binding(0) var<storage, read_write> variables: array<f32>;
@group(0) @binding(1) var<storage, read_write> temporaries: array<f32>;
@group(0) @binding(3) var<uniform> p: array<vec4<u32>, 5>;
@group(0) @binding(4) var<uniform> now: vec4<u32>;
const own = 0u;

var<workgroup> tileA: array<vec4<f32>, 128>;
var<workgroup> tileB: array<vec4<f32>, 128>;
fn fetchA(base: u32, side: u32, depth: u32) -> f32 {
  if (side >= p[own + 2u].y || depth >= p[own + 2u].w) { return 0.0; }
  return temporaries[base + side * p[own + 0u].z + depth];
}
fn fetchB(base: u32, side: u32, depth: u32) -> f32 {
  if (side >= p[own + 2u].z || depth >= p[own + 2u].w) { return 0.0; }
  return variables[base + side * p[own + 1u].y + depth];
}
fn put(base: u32, part: u32, row: u32, column: u32, values: vec4<f32>) {
  if (row >= p[own + 2u].y) { return; }
  let first = base + (part * p[own + 2u].y + row) * p[own + 2u].x + column;
  for (var i = 0u; i < min(4u, max(p[own + 2u].z, column) - column); i++) {
    let place = first + i;
    temporaries[place] = values[i];
  }
}
@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) groupId: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let group = groupId.x + groupId.y * groups.x;
  let t = now.x;
  let at0 = p[own + 0u].x + t * p[own + 0u].y;
  let at1 = p[own + 0u].w + t * p[own + 1u].x;
  let at2 = p[own + 1u].z + t * p[own + 1u].w;
  let n0 = (group % p[own + 3u].x) * 16u;
  let m0 = ((group / p[own + 3u].x) % p[own + 3u].y) * 16u;
  let part = group / (p[own + 3u].x * p[own + 3u].y);
  if (part >= p[own + 3u].z) { return; }
  let x = lane % 4u;
  let y = (lane / 4u) * 1u;
  var c0_0 = vec4<f32>(0.0);
  let last = min((part + 1u) * p[own + 3u].w, p[own + 2u].w);
  for (var k0 = part * p[own + 4u].x; k0 < last; k0 += 32u) {
    for (var l = lane; l < 128u; l += 64u) {
      let j = l;
      let side = m0 + (j / 32u) * 4u;
      let depth = k0 + (j % 32u);
      tileA[(j % 32u) * 4u + (j / 32u)] = vec4<f32>(fetchA(at0, side + 0u, depth), fetchA(at0, side + 1u, depth), fetchA(at0, side + 2u, depth), fetchA(at0, side + 3u, depth));
    }
    for (var l = lane; l < 128u; l += 64u) {
      let j = l;
      let side = n0 + (j / 32u) * 4u;
      let depth = k0 + (j % 32u);
      tileB[(j % 32u) * 4u + (j / 32u)] = vec4<f32>(fetchB(at1, side + 0u, depth), fetchB(at1, side + 1u, depth), fetchB(at1, side + 2u, depth), fetchB(at1, side + 3u, depth));
    }
    workgroupBarrier();
    for (var d = 0u; d < 32u; d++) {
      
      let b0 = tileB[d * 4u + x + 0u];
      c0_0 += tileA[d * 4u + (y + 0u) / 4u][(y + 0u) % 4u] * b0;
    }
    workgroupBarrier();
  }
  put(at2, part, m0 + y + 0u, n0 + (x + 0u) * 4u, c0_0);
}

// l0: h'
@group(0) @binding(1) var<storage, read_write> temporaries: array<f32>;
@group(0) @binding(3) var<uniform> p: array<vec4<u32>, 4>;
@group(0) @binding(4) var<uniform> now: vec4<u32>;
const own = 0u;
fn isNan(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u; }
fn power2(k: i32) -> f32 { return bitcast<f32>(u32(k + 127) << 23u); }
fn remainder(x: f32, n: f32) -> f32 { return (x - n * 0.693359375f) - n * (-0.00021219444170128554f); }
fn expm1Near(r: f32) -> f32 { return r + r * r * (0.4999999701976776f + r * (0.1666654348373413f + r * (0.04166720062494278f + r * (0.008366547524929047f + r * 0.0013882516650483012f)))); }
fn hyperbolicTangent(x: f32) -> f32 {
  let a = min(abs(x), 10.0);
  let n = round(a * (-2.885390043258667f));
  let s = power2(i32(n));
  let sp = s * expm1Near(remainder(-2.0 * a, n));
  let y = ((1.0 - s) - sp) / ((1.0 + s) + sp);
  return select(select(y, -y, x < 0.0), x, isNan(x));
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) groupId: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let group = groupId.x + groupId.y * groups.x;
  let t = now.x;
  let at0 = p[own + 0u].y + t * p[own + 0u].z;
  let at1 = p[own + 1u].x + t * p[own + 1u].y;
  let at2 = p[own + 1u].w + t * p[own + 2u].x;
  let at3 = p[own + 2u].z + t * p[own + 2u].w;
  let i = group * 64u + lane;
  if (i >= p[own + 0u].x) { return; }
  let r = i / p[own + 3u].y;
  let c = i % p[own + 3u].y;
  let x0 = temporaries[at0 + i];
  let x1 = temporaries[at1 + i];
  let x2 = temporaries[at2 + c];
  let x3 = x0 + x1;
  let x4 = x3 + x2;
  let x5 = hyperbolicTangent(x4);
  temporaries[at3 + i] = x5;
}

// dz
@group(0) @binding(1) var<storage, read_write> temporaries: array<f32>;
@group(0) @binding(3) var<uniform> p: array<vec4<u32>, 4>;
@group(0) @binding(4) var<uniform> now: vec4<u32>;
const own = 0u;


@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) groupId: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let group = groupId.x + groupId.y * groups.x;
  let t = now.x;
  let at0 = p[own + 0u].y + t * p[own + 0u].z;
  let at1 = p[own + 1u].x + t * p[own + 1u].y;
  let at2 = p[own + 1u].w + t * p[own + 2u].x;
  let at3 = p[own + 2u].z + t * p[own + 2u].w;
  let i = group * 64u + lane;
  if (i >= p[own + 0u].x) { return; }
  
  let x0 = temporaries[at0 + i];
  let x1 = temporaries[at1 + i];
  let x2 = temporaries[at2 + i];
  let x3 = x0 + x1;
  let x4 = 1f;
  let x5 = x2 * x2;
  let x6 = x4 - x5;
  let x7 = x3 * x6;
  temporaries[at3 + i] = x7;
}

// dh
@group(0) @binding(0) var<storage, read_write> variables: array<f32>;
@group(0) @binding(1) var<storage, read_write> temporaries: array<f32>;
@group(0) @binding(3) var<uniform> p: array<vec4<u32>, 5>;
@group(0) @binding(4) var<uniform> now: vec4<u32>;
const own = 0u;

var<workgroup> tileA: array<vec4<f32>, 128>;
var<workgroup> tileB: array<vec4<f32>, 128>;
fn fetchA(base: u32, side: u32, depth: u32) -> f32 {
  if (side >= p[own + 2u].y || depth >= p[own + 2u].w) { return 0.0; }
  return temporaries[base + side * p[own + 0u].z + depth];
}
fn fetchB(base: u32, side: u32, depth: u32) -> f32 {
  if (side >= p[own + 2u].z || depth >= p[own + 2u].w) { return 0.0; }
  return variables[base + depth * p[own + 1u].y + side];
}
fn put(base: u32, part: u32, row: u32, column: u32, values: vec4<f32>) {
  if (row >= p[own + 2u].y) { return; }
  let first = base + (part * p[own + 2u].y + row) * p[own + 2u].x + column;
  for (var i = 0u; i < min(4u, max(p[own + 2u].z, column) - column); i++) {
    let place = first + i;
    temporaries[place] = values[i];
  }
}
@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) groupId: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let group = groupId.x + groupId.y * groups.x;
  let t = now.x;
  let at0 = p[own + 0u].x + t * p[own + 0u].y;
  let at1 = p[own + 0u].w + t * p[own + 1u].x;
  let at2 = p[own + 1u].z + t * p[own + 1u].w;
  let n0 = (group % p[own + 3u].x) * 16u;
  let m0 = ((group / p[own + 3u].x) % p[own + 3u].y) * 16u;
  let part = group / (p[own + 3u].x * p[own + 3u].y);
  if (part >= p[own + 3u].z) { return; }
  let x = lane % 4u;
  let y = (lane / 4u) * 1u;
  var c0_0 = vec4<f32>(0.0);
  let last = min((part + 1u) * p[own + 3u].w, p[own + 2u].w);
  for (var k0 = part * p[own + 4u].x; k0 < last; k0 += 32u) {
    for (var l = lane; l < 128u; l += 64u) {
      let j = l;
      let side = m0 + (j / 32u) * 4u;
      let depth = k0 + (j % 32u);
      tileA[(j % 32u) * 4u + (j / 32u)] = vec4<f32>(fetchA(at0, side + 0u, depth), fetchA(at0, side + 1u, depth), fetchA(at0, side + 2u, depth), fetchA(at0, side + 3u, depth));
    }
    for (var l = lane; l < 128u; l += 64u) {
      let j = l;
      let side = n0 + (j % 4u) * 4u;
      let depth = k0 + (j / 4u);
      tileB[(j / 4u) * 4u + (j % 4u)] = vec4<f32>(fetchB(at1, side + 0u, depth), fetchB(at1, side + 1u, depth), fetchB(at1, side + 2u, depth), fetchB(at1, side + 3u, depth));
    }
    workgroupBarrier();
    for (var d = 0u; d < 32u; d++) {
      
      let b0 = tileB[d * 4u + x + 0u];
      c0_0 += tileA[d * 4u + (y + 0u) / 4u][(y + 0u) % 4u] * b0;
    }
    workgroupBarrier();
  }
  put(at2, part, m0 + y + 0u, n0 + (x + 0u) * 4u, c0_0);
}

