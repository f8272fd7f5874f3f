"""The MuJoCo model of the scene: bodies, shapes, textures, cameras."""
