l0: matmul: product 16×16, 1×1×1 workgroups
l0: add: chain, 1×1×1 workgroups
rnn_l0: initial h + rnn_l0: backward: initial dh: 2 together: chain, 2×1×1 workgroups
rnn_l0: weights: transpose, 1×1×1 workgroups
rnn_l0: 3 steps in one dispatch, 1 row a workgroup, 5×1×1 workgroups
add: chain, 2×1×1 workgroups
rnn_l0: backward: 3 steps in one dispatch, 1 row a workgroup, 5×1×1 workgroups
dweight_hh: product 16×16, 1×1×1 workgroups
dbias_hh: sum over rows, 1×1×1 workgroups
dweight_ih: product 16×16, 1×1×1 workgroups
result 0: copy: chain, 2×1×1 workgroups
result 1: copy: chain, 2×1×1 workgroups
result 5: copy: chain, 1×1×1 workgroups

// rnn_l0
@group(0) @binding(1) var<storage, read_write> temporaries: array<f32>;
@group(0) @binding(3) var<uniform> p: array<vec4<u32>, 6>;
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
var<workgroup> tile0: array<f32, 7>;
var<workgroup> tile1: array<f32, 7>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) groupId: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let group = groupId.x + groupId.y * groups.x;
  
  let firstRow = group * 1u;
  for (var step = 0u; step < p[own + 5u].x; step++) {
    let t = p[own + 4u].z + step * p[own + 4u].w;
  let at0 = p[own + 0u].z + t * p[own + 0u].w;
  let at1 = p[own + 1u].y + t * p[own + 1u].z;
  let at2 = p[own + 2u].y + t * p[own + 2u].z;
  let at3 = p[own + 3u].x + t * p[own + 3u].y;
  let at4 = p[own + 3u].w + t * p[own + 4u].x;
    if (step == 0u) {
    { for (var e = lane; e < 7u; e += 64u) {
      let r = firstRow + e / 7u;
      let c = e % 7u;
      if (r < p[own + 0u].x) {
        let i = r * 7u + c;
        let x0 = temporaries[at0 + i];
  tile1[(0u - firstRow * 7u) + i] = x0;
      }
    } }
    workgroupBarrier();
    }
    // product
    { let x = lane % 4u;
    let part = lane / 4u;
    let n0 = min(x + 0u, 6u); let n1 = min(x + 4u, 6u);
    var s0_0 = 0.0; var s0_1 = 0.0;
    let end = min(part * 7u + 7u, 7u);
    var d = part * 7u;
    
    for (; d < end; d++) { let b0 = temporaries[at1 + d * p[own + 1u].w + n0]; let b1 = temporaries[at1 + d * p[own + 1u].w + n1]; let a0 = tile1[0u + d]; s0_0 += a0 * b0; s0_1 += a0 * b1; }
    if (part == 0u) { if (firstRow + 0u < p[own + 0u].x && x + 0u < 7u) { tile0[0u + (x + 0u)] = s0_0; } if (firstRow + 0u < p[own + 0u].x && x + 4u < 7u) { tile0[0u + (x + 4u)] = s0_1; } } }
    workgroupBarrier();
    // chain
    { for (var e = lane; e < 7u; e += 64u) {
      let r = firstRow + e / 7u;
      let c = e % 7u;
      if (r < p[own + 0u].x) {
        let i = r * 7u + c;
        let x0 = temporaries[at2 + i];
  let x1 = tile0[(0u - firstRow * 7u) + i];
  let x2 = temporaries[at3 + c];
  let x3 = x0 + x1;
  let x4 = x3 + x2;
  let x5 = hyperbolicTangent(x4);
  temporaries[at4 + i] = x5;
  tile1[(0u - firstRow * 7u) + i] = x5;
      }
    } }
    workgroupBarrier();
    
  }
}

// rnn_l0: backward
@group(0) @binding(0) var<storage, read_write> variables: array<f32>;
@group(0) @binding(1) var<storage, read_write> temporaries: array<f32>;
@group(0) @binding(3) var<uniform> p: array<vec4<u32>, 7>;
@group(0) @binding(4) var<uniform> now: vec4<u32>;
const own = 0u;

var<workgroup> tile0: array<f32, 7>;
var<workgroup> tile1: array<f32, 7>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) groupId: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let group = groupId.x + groupId.y * groups.x;
  
  let firstRow = group * 1u;
  for (var step = 0u; step < p[own + 6u].x; step++) {
    let t = p[own + 5u].z + step * p[own + 5u].w;
  let at0 = p[own + 0u].z + t * p[own + 0u].w;
  let at1 = p[own + 1u].z + t * p[own + 1u].w;
  let at2 = p[own + 2u].y + t * p[own + 2u].z;
  let at3 = p[own + 3u].x + t * p[own + 3u].y;
  let at4 = p[own + 3u].w + t * p[own + 4u].x;
  let at5 = p[own + 4u].w + t * p[own + 5u].x;
    if (step == 0u) {
    { for (var e = lane; e < 7u; e += 64u) {
      let r = firstRow + e / 7u;
      let c = e % 7u;
      if (r < p[own + 0u].x) {
        let i = r * 7u + c;
        let x0 = temporaries[at0 + i];
  tile1[(0u - firstRow * 7u) + i] = x0;
      }
    } }
    workgroupBarrier();
    }
    // chain
    { for (var e = lane; e < 7u; e += 64u) {
      let r = firstRow + e / 7u;
      let c = e % 7u;
      if (r < p[own + 0u].x) {
        let i = r * 7u + c;
        let x0 = tile1[(0u - firstRow * 7u) + i];
  let x1 = temporaries[at1 + i];
  let x2 = temporaries[at2 + i];
  let x3 = x0 + x1;
  let x4 = 1f;
  let x5 = x2 * x2;
  let x6 = x4 - x5;
  let x7 = x3 * x6;
  temporaries[at3 + i] = x7;
  tile0[(0u - firstRow * 7u) + i] = x7;
      }
    } }
    workgroupBarrier();
    // product
    { let x = lane % 4u;
    let part = lane / 4u;
    let n0 = min(x + 0u, 6u); let n1 = min(x + 4u, 6u);
    var s0_0 = 0.0; var s0_1 = 0.0;
    let end = min(part * 7u + 7u, 7u);
    var d = part * 7u;
    
    for (; d < end; d++) { let b0 = variables[at4 + d * p[own + 4u].y + n0]; let b1 = variables[at4 + d * p[own + 4u].y + n1]; let a0 = tile0[0u + d]; s0_0 += a0 * b0; s0_1 += a0 * b1; }
    if (part == 0u) { if (firstRow + 0u < p[own + 0u].x && x + 0u < 7u) { tile1[0u + (x + 0u)] = s0_0; } if (firstRow + 0u < p[own + 0u].x && x + 4u < 7u) { tile1[0u + (x + 4u)] = s0_1; } } }
    workgroupBarrier();
    if (step + 1u == p[own + 6u].x) {
    { for (var e = lane; e < 7u; e += 64u) {
      let r = firstRow + e / 7u;
      let c = e % 7u;
      if (r < p[own + 0u].x) {
        let i = r * 7u + c;
        let x0 = tile1[(0u - firstRow * 7u) + i];
  temporaries[at5 + i] = x0;
      }
    } }
    }
  }
}

